"""What a pickle may import: the names that are known to do no harm whatever they are called with, and the modules that
are known to do it. Everything else is unknown, and a person must look."""

from __future__ import annotations

import enum
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING


class Judged(enum.Enum):
    KNOWN = "known"
    UNKNOWN = "unknown"
    CODE = "code"  # cloudpickle: functions and classes by their code, not by their name
    DANGEROUS = "dangerous"


def judge(module: str, name: str) -> Judged:
    """Names of Python 2 are taken as those of Python 3, as unpicklers do."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    if name in _EXACT.get(module, ()) or _is_known_class(module, name):
        return Judged.KNOWN
    if _is_dangerous(module, name):
        return Judged.DANGEROUS
    return Judged.CODE if module.split(".")[0] in ("cloudpickle", "dill") else Judged.UNKNOWN


def _is_known_class(module: str, name: str) -> bool:
    """Classes move between modules of their library from release to release: they are known by package and name."""
    return any(name in names and _is_within(module, package) for package, names in _CLASSES.items())


def _is_dangerous(module: str, name: str) -> bool:
    """A dotted name walks from attribute to attribute, so each of its parts may be a module."""
    top, *walked = module.split(".")[0], *name.split(".")
    last = walked.pop()
    return (
        top in _DANGEROUS_MODULES
        or any(part in _DANGEROUS_MODULES for part in walked)
        or any(_is_within(module, package) for package in _DANGEROUS_PACKAGES)
        or last in _DANGEROUS_ANYWHERE
        or last in _DANGEROUS_NAMES.get(top, ())
    )


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


_DANGEROUS_MODULES = frozenset(
    "_ctypes _io _osx_support _pickle _posixsubprocess _pyio _socket _thread _xxsubinterpreters aiohttp antigravity "
    "asyncio asyncore bdb cPickle cProfile code codeop commands concurrent ctypes distutils doctest ensurepip ftplib "
    "gc http httplib httpx idlelib imaplib imp importlib inspect io lib2to3 linecache marshal mmap msvcrt "
    "multiprocessing nt ntpath os pdb pickle pip pkgutil platform popen2 poplib posix posixpath profile pty pydoc "
    "requests runpy setuptools shelve shutil signal site smtplib socket socketserver sqlite3 ssl subprocess sys "
    "sysconfig telnetlib tempfile threading timeit trace unittest urllib urllib2 urllib3 venv webbrowser winreg "
    "xmlrpc zipimport".split()
)
_DANGEROUS_PACKAGES = tuple(
    "joblib.externals joblib.memory joblib.parallel numpy.ctypeslib numpy.distutils numpy.f2py numpy.testing "
    "numpy.lib._npyio_impl numpy.lib.format numpy.lib.npyio pandas.core.computation pandas.io scipy.weave "
    "sklearn.datasets sklearn.externals sklearn.utils._testing torch._inductor torch.distributed torch.hub torch.jit "
    "torch.multiprocessing torch.package torch.serialization torch.testing torch.utils.cpp_extension "
    "torch.utils.model_zoo".split()
)
_DANGEROUS_ANYWHERE = frozenset(
    "__builtins__ __getattribute__ __globals__ __import__ __subclasses__ _ufunc_reconstruct builtins eval exec "
    "execfile importlib os popen posix subprocess sys system".split()
)
_DANGEROUS_NAMES = {
    "builtins": frozenset(
        "__build_class__ __loader__ apply breakpoint classmethod compile delattr exit file filter getattr globals "
        "help input locals map open property quit setattr staticmethod super type vars".split()
    ),
    "joblib": frozenset({"NDArrayWrapper", "ZNDArrayWrapper", "dump", "load", "load_temporary_memmap"}),
    "keras": frozenset({"Lambda", "deserialize", "func_load", "load_model"}),
    "logging": frozenset({"FileHandler", "dictConfig", "fileConfig", "listen"}),
    "mlflow": frozenset({"load_model", "load_pyfunc", "run"}),
    "numpy": frozenset(
        "DataSource fromfile fromregex genfromtxt load loadtxt memmap open_memmap runstring save savetxt savez".split()
    ),
    "operator": frozenset({"attrgetter", "call", "methodcaller"}),
    "pandas": frozenset("HDFStore query read_csv read_hdf read_html read_pickle read_sql to_pickle".split()),
    "scipy": frozenset({"loadmat", "savemat"}),
    "tensorflow": frozenset({"load_model", "numpy_function", "py_function", "read_file", "write_file"}),
    "torch": frozenset({"_load_from_bytes", "compile", "load", "load_inline", "load_url", "save"}),
    "types": frozenset({"CodeType", "FunctionType", "LambdaType", "MethodType"}),
}

_NUMPY_SCALARS = (
    "bool bool_ int8 int16 int32 int64 intc intp int_ longlong uint8 uint16 uint32 uint64 uintc uintp uint ulonglong "
    "float16 float32 float64 float_ longdouble complex64 complex128 clongdouble datetime64 timedelta64 str_ bytes_ "
    "void object_"
)
_UFUNCS = (
    "abs absolute add cbrt ceil clip cos deg2rad divide exp exp2 expm1 fabs floor isfinite isnan log log10 log1p log2 "
    "logaddexp maximum minimum multiply negative power rad2deg reciprocal rint sign sin sqrt square subtract tan tanh"
)
_RECONSTRUCTED = "_reconstruct scalar"
_TORCH_TYPES = (
    "bfloat16 bool complex128 complex64 double float float16 float32 float64 half int int16 int32 int64 int8 long "
    "qint32 qint8 quint8 short uint8"
)
_TORCH_STORAGES = " ".join(
    f"{kind}Storage" for kind in "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long QInt32 "
    "QInt8 QUInt8 Short Typed Untyped".split()
)  # fmt: skip
_PANDAS = (
    "Categorical CategoricalDtype CategoricalIndex DataFrame DatetimeIndex DatetimeTZDtype Index Int16Dtype "
    "Int32Dtype Int64Dtype Int8Dtype Float32Dtype Float64Dtype BooleanDtype Interval IntervalDtype IntervalIndex "
    "MultiIndex NA NaT Period PeriodDtype PeriodIndex RangeIndex Series StringDtype Timedelta TimedeltaIndex Timestamp "
    "UInt16Dtype UInt32Dtype UInt64Dtype UInt8Dtype"
)
_ARRAYS = (
    "BooleanArray Categorical DatetimeArray FloatingArray IntegerArray IntervalArray NumpyExtensionArray PandasArray "
    "PeriodArray SparseArray StringArray TimedeltaArray"
)
# Module -> names, each harmless whatever it is called with, and harmless as an argument of the others.
_EXACT: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "builtins": "Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int list object range "
        "set slice str tuple",
        "_codecs": "encode",
        "collections": "Counter OrderedDict defaultdict deque",
        "copyreg": "_reconstructor __newobj__ __newobj_ex__",
        "datetime": "date datetime time timedelta timezone",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "uuid": "UUID SafeUUID",
        "joblib.numpy_pickle": "NumpyArrayWrapper",
        "numpy": f"dtype matrix ndarray mean median {_NUMPY_SCALARS} {_UFUNCS}",
        **dict.fromkeys(("numpy.core.multiarray", "numpy._core.multiarray"), _RECONSTRUCTED),
        **dict.fromkeys(("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
        **dict.fromkeys(("numpy.core._multiarray_umath", "numpy._core._multiarray_umath", "numpy.core.umath"), _UFUNCS),
        "numpy.ma": "MaskedArray",
        "numpy.ma.core": "MaskedArray _mareconstruct",
        "numpy.random": "RandomState Generator",
        "numpy.random.mtrand": "RandomState",
        "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
        "numpy.random._mt19937": "MT19937",
        "numpy.random._pcg64": "PCG64 PCG64DXSM",
        "numpy.random._philox": "Philox",
        "numpy.random._sfc64": "SFC64",
        "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
        "numpy.random._bit_generator": "SeedSequence",
        "pandas": _PANDAS,
        "pandas.arrays": _ARRAYS,
        "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
        "pandas._libs.internals": "_unpickle_block",
        "pandas._libs.interval": "Interval",
        "pandas._libs.missing": "NA NAType",
        "pandas._libs.tslibs.nattype": "NaTType _nat_unpickle",
        "pandas._libs.tslibs.offsets": "BusinessDay Day Hour Minute MonthBegin MonthEnd Second Week YearBegin YearEnd",
        "pandas._libs.tslibs.timedeltas": "Timedelta _timedelta_unpickle",
        "pandas._libs.tslibs.timestamps": "Timestamp _unpickle_timestamp",
        "pandas.core.frame": "DataFrame",
        "pandas.core.series": "Series",
        "pandas.core.indexes.base": "Index _new_Index",
        "pandas.core.indexes.category": "CategoricalIndex",
        "pandas.core.indexes.datetimes": "DatetimeIndex _new_DatetimeIndex",
        "pandas.core.indexes.interval": "IntervalIndex",
        "pandas.core.indexes.multi": "MultiIndex",
        "pandas.core.indexes.numeric": "Float64Index Int64Index UInt64Index",
        "pandas.core.indexes.period": "PeriodIndex _new_PeriodIndex",
        "pandas.core.indexes.range": "RangeIndex",
        "pandas.core.indexes.timedeltas": "TimedeltaIndex",
        "pandas.core.internals.managers": "BlockManager SingleBlockManager",
        "pandas.core.internals.blocks": "new_block",
        "scipy._lib.array_api_compat.numpy._aliases": "asarray",
        "scipy.interpolate._bsplines": "BSpline",
        "scipy.interpolate._interpolate": "interp1d",
        "sklearn.metrics._dist_metrics": "newObj",
        "sklearn.neighbors._kd_tree": "newObj",
        "sklearn.neighbors._ball_tree": "newObj",
        "torch": f"Size device {_TORCH_TYPES} {_TORCH_STORAGES}",
        "torch.storage": "TypedStorage UntypedStorage _TypedStorage",
        "torch._utils": "_rebuild_parameter _rebuild_tensor _rebuild_tensor_v2 _rebuild_sparse_tensor _rebuild_qtensor",
        "torch.nn.parameter": "Parameter Buffer",
        "xgboost.core": "Booster",
        "xgboost.sklearn": "XGBClassifier XGBModel XGBRFClassifier XGBRFRegressor XGBRanker XGBRegressor",
        "lightgbm.basic": "Booster",
        "lightgbm.sklearn": "LGBMClassifier LGBMModel LGBMRanker LGBMRegressor",
    }.items()
}
_SKLEARN = frozenset(
    # Estimators
    "ARDRegression AdaBoostClassifier AdaBoostRegressor AdditiveChi2Sampler AffinityPropagation "
    "AgglomerativeClustering BaggingClassifier BaggingRegressor BayesianGaussianMixture BayesianRidge BernoulliNB "
    "BernoulliRBM Binarizer Birch BisectingKMeans CCA CalibratedClassifierCV CategoricalNB ClassicalMDS "
    "ClassifierChain ColumnTransformer ComplementNB CountVectorizer DBSCAN DecisionTreeClassifier "
    "DecisionTreeRegressor DictVectorizer DictionaryLearning DummyClassifier DummyRegressor ElasticNet ElasticNetCV "
    "EllipticEnvelope EmpiricalCovariance ExtraTreeClassifier ExtraTreeRegressor ExtraTreesClassifier "
    "ExtraTreesRegressor FactorAnalysis FastICA FeatureAgglomeration FeatureHasher FeatureUnion "
    "FixedThresholdClassifier FrozenEstimator FunctionTransformer GammaRegressor GaussianMixture GaussianNB "
    "GaussianProcessClassifier GaussianProcessRegressor GaussianRandomProjection GenericUnivariateSelect "
    "GradientBoostingClassifier GradientBoostingRegressor GraphicalLasso GraphicalLassoCV GridSearchCV HDBSCAN "
    "HashingVectorizer HistGradientBoostingClassifier HistGradientBoostingRegressor HuberRegressor IncrementalPCA "
    "IsolationForest Isomap IsotonicRegression KBinsDiscretizer KMeans KNNImputer KNeighborsClassifier "
    "KNeighborsRegressor KNeighborsTransformer KernelCenterer KernelDensity KernelPCA KernelRidge LabelBinarizer "
    "LabelEncoder LabelPropagation LabelSpreading Lars LarsCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC "
    "LatentDirichletAllocation LedoitWolf LinearDiscriminantAnalysis LinearRegression LinearSVC LinearSVR "
    "LocalOutlierFactor LocallyLinearEmbedding LogisticRegression LogisticRegressionCV MDS MLPClassifier MLPRegressor "
    "MaxAbsScaler MeanShift MinCovDet MinMaxScaler MiniBatchDictionaryLearning MiniBatchKMeans MiniBatchNMF "
    "MiniBatchSparsePCA MissingIndicator MultiLabelBinarizer MultiOutputClassifier MultiOutputRegressor "
    "MultiTaskElasticNet MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV MultinomialNB NMF NearestCentroid "
    "NearestNeighbors NeighborhoodComponentsAnalysis Normalizer NuSVC NuSVR Nystroem OAS OPTICS OneClassSVM "
    "OneHotEncoder OneVsOneClassifier OneVsRestClassifier OrdinalEncoder OrthogonalMatchingPursuit "
    "OrthogonalMatchingPursuitCV OutputCodeClassifier PCA PLSCanonical PLSRegression PLSSVD "
    "PassiveAggressiveClassifier PassiveAggressiveRegressor PatchExtractor Perceptron Pipeline PoissonRegressor "
    "PolynomialCountSketch PolynomialFeatures PowerTransformer QuadraticDiscriminantAnalysis QuantileRegressor "
    "QuantileTransformer RANSACRegressor RBFSampler RFE RFECV RadiusNeighborsClassifier RadiusNeighborsRegressor "
    "RadiusNeighborsTransformer RandomForestClassifier RandomForestRegressor RandomTreesEmbedding RandomizedSearchCV "
    "RegressorChain Ridge RidgeCV RidgeClassifier RidgeClassifierCV RobustScaler SGDClassifier SGDOneClassSVM "
    "SGDRegressor SVC SVR SelectFdr SelectFpr SelectFromModel SelectFwe SelectKBest SelectPercentile "
    "SelfTrainingClassifier SequentialFeatureSelector ShrunkCovariance SimpleImputer SkewedChi2Sampler SparseCoder "
    "SparsePCA SparseRandomProjection SpectralBiclustering SpectralClustering SpectralCoclustering SpectralEmbedding "
    "SplineTransformer StackingClassifier StackingRegressor StandardScaler TSNE TargetEncoder TfidfTransformer "
    "TfidfVectorizer TheilSenRegressor TransformedTargetRegressor TruncatedSVD TunedThresholdClassifierCV "
    "TweedieRegressor VarianceThreshold VotingClassifier VotingRegressor "
    # What they hold
    "AdamOptimizer BallTree BallTree32 BallTree64 BinomialDeviance Bunch CompoundKernel ConstantKernel "
    "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss "
    "CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss DistanceMetric "
    "DistanceMetric32 DistanceMetric64 DotProduct EpsilonInsensitive EuclideanDistance EuclideanDistance32 "
    "EuclideanDistance64 ExpSineSquared ExponentialLoss Exponentiation GroupKFold HalfBinomialLoss HalfGammaLoss "
    "HalfLogitLink HalfMultinomialLoss HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity Hinge "
    "Huber HuberLoss IdentityLink Interval KDTree KDTree32 KDTree64 KFold Log LogLink LogitLink ManhattanDistance "
    "ManhattanDistance32 ManhattanDistance64 Matern MetadataRequest MethodMetadataRequest MinkowskiDistance "
    "MinkowskiDistance32 MinkowskiDistance64 ModifiedHuber MultinomialDeviance MultinomialLogit PairwiseKernel "
    "PinballLoss Product RBF RationalQuadratic RepeatedKFold RepeatedStratifiedKFold SGDOptimizer ShuffleSplit "
    "SquaredHinge SquaredLoss StratifiedKFold StratifiedShuffleSplit Sum TimeSeriesSplit Tree TreePredictor "
    "WhiteKernel _BinMapper _BinaryGaussianProcessClassifierLaplace _BisectingTree _CFNode _CFSubcluster "
    "_CalibratedClassifier _ConstantPredictor _CurveScorer _PassthroughScorer _PredictScorer _Scorer "
    "_SigmoidCalibration "
    # The functions that are handed to them
    "accuracy_score balanced_accuracy_score chi2 f1_score f_classif f_regression log_loss mean_absolute_error "
    "mean_squared_error mutual_info_classif mutual_info_regression precision_score r2_score recall_score "
    "roc_auc_score _kmeans_single_elkan _kmeans_single_lloyd".split()
)
_SKLEARN_PACKAGES = (
    "_loss calibration cluster compose covariance cross_decomposition decomposition discriminant_analysis dummy "
    "ensemble feature_extraction feature_selection frozen gaussian_process impute isotonic kernel_approximation "
    "kernel_ridge linear_model manifold metrics mixture model_selection multiclass multioutput naive_bayes neighbors "
    "neural_network pipeline preprocessing random_projection semi_supervised svm tree utils"
)
_SPARSE = frozenset(f"{kind}_{form}" for kind in "bsr coo csc csr dia dok lil".split() for form in ("array", "matrix"))
_LAYERS = frozenset(
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool2d AvgPool1d AvgPool2d BatchNorm1d BatchNorm2d BatchNorm3d "
    "Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d Dropout Dropout1d Dropout2d ELU Embedding "
    "EmbeddingBag Flatten GELU GRU GRUCell GroupNorm Identity InstanceNorm1d InstanceNorm2d LSTM LSTMCell LayerNorm "
    "LeakyReLU Linear LogSoftmax MaxPool1d MaxPool2d Mish ModuleDict ModuleList MultiheadAttention "
    "NonDynamicallyQuantizableLinear PReLU ParameterDict ParameterList RNN RNNCell ReLU ReLU6 SELU Sequential SiLU "
    "Sigmoid Softmax Softplus Tanh Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder "
    "TransformerEncoderLayer Unflatten Upsample".split()
)
_CLASSES = {
    **{f"sklearn.{package}": _SKLEARN for package in _SKLEARN_PACKAGES.split()},
    "scipy.sparse": _SPARSE,
    "torch.nn.modules": _LAYERS,
}

_NAMES = b"|".join(
    name.encode() for name in (*sorted(_DANGEROUS_MODULES), "builtins", "__builtin__", *sorted(_DANGEROUS_NAMES))
)
# Where, in the middle of other bytes, a pickle may begin: PROTO, or the import of something dangerous in any spelling.
BEGINNINGS = re.compile(
    rb"\x80[\x00-\x05]"
    rb"|[ci](?:" + _NAMES + rb")(?:\.[\w.]{1,100})?\n[A-Za-z_][\w.]{0,100}\n"
    rb"|(?:\x8c.|U.|X..\x00\x00|T..\x00\x00|\x8d..\x00{6}|V|S['\"])(?:" + _NAMES + rb")",
    re.DOTALL,
)
