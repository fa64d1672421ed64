"""All settings, from the environment. docs/settings.md has each; a wrong value stops the start with a sentence."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import environ
import structlog
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured

from config.addresses import external_tracking, storage
from config.environment import address_parts, choice, env, flag, number

BASE_DIR = Path(__file__).resolve().parent.parent
RUNNING_TESTS = "pytest" in sys.modules

# -- Where things lie -------------------------------------------------------------------------------------------------


def _default_data_dir() -> str:
    """var in the checkout; the tests get a folder that goes with them."""
    if not RUNNING_TESTS:
        return str(BASE_DIR / "var")
    folder = tempfile.mkdtemp(prefix="countersign-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


DATA_DIR = Path(env.str("DATA_DIR", default="") or _default_data_dir()).resolve()
DEVELOPMENT = flag("COUNTERSIGN_DEVELOPMENT", default=False)
DEBUG = DEVELOPMENT
DATABASE_URL = env.str("DATABASE_URL", default="")
REDIS_URL = env.str("REDIS_URL", default="")
STORAGE_URL = env.str("STORAGE_URL", default="")
EMAIL_URL = env.str("EMAIL_URL", default="")
EMBEDDED = not DATABASE_URL  # everything on one machine, in DATA_DIR


def _data_dir() -> Path:
    try:
        DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"DATA_DIR {DATA_DIR} cannot be made: {error.strerror}. Name another folder."
        ) from error
    if not os.access(DATA_DIR, os.W_OK | os.X_OK):
        raise ImproperlyConfigured(
            f"DATA_DIR {DATA_DIR} cannot be written to. Change its permissions or name another folder."
        )
    return DATA_DIR


def _secret_key() -> str:
    """SECRET_KEY, or, on one machine, a key made once and kept beside the data."""
    if given := env.str("SECRET_KEY", default=""):
        if len(given) < 32:
            raise ImproperlyConfigured("SECRET_KEY is too short: give at least 32 random characters.")
        return given
    if not EMBEDDED and not RUNNING_TESTS:
        raise ImproperlyConfigured("SECRET_KEY is not set: with DATABASE_URL every process needs the same one.")
    path = _data_dir() / "secret-key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"DATA_DIR {DATA_DIR} is not writable: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()


SECRET_KEY = _secret_key()

# -- Addresses --------------------------------------------------------------------------------------------------------

HOST = env.str("HOST", default="") or "127.0.0.1"
PORT = number("PORT", 8080, highest=65535)
BASE_URL = (env.str("BASE_URL", default="") or f"http://127.0.0.1:{PORT}").rstrip("/")
_base = address_parts("BASE_URL", BASE_URL, like="https://models.example.com")
if _base.scheme not in ("http", "https") or not _base.hostname:
    raise ImproperlyConfigured(f"BASE_URL is {BASE_URL!r}: write an address like https://models.example.com.")
ALLOWED_HOSTS = [_base.hostname, "127.0.0.1", "localhost", "[::1]", *env.list("ALLOWED_HOSTS", default=[])]
if "*" in ALLOWED_HOSTS and not DEVELOPMENT:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS is '*': name the hosts, or set COUNTERSIGN_DEVELOPMENT=1 on your own machine."
    )
CSRF_TRUSTED_ORIGINS = [f"{_base.scheme}://{_base.netloc}"]
BEHIND_PROXY = flag("BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _base.scheme == "https"
SECURE_HSTS_SECONDS = 31_536_000 if _base.scheme == "https" else 0
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
APPEND_SLASH = False  # a redirect would turn an MLflow client's POST into a GET

# -- Applications -----------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_structlog",
    "config",
    "core",
    "accounts",
    "notifications",
    "tracking",
    "registry",
    "approvals",
    "web",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.chunked.ChunkedBodies",
    "web.middleware.request_log",
    "web.middleware.security_headers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "web.middleware.SignedIn",
    "web.middleware.Credentials",
    "web.middleware.DenyByDefault",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
_CONTEXT_PROCESSORS = [
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "NAME": "pages",
        "BACKEND": "web.pages.templating.Templates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "environment": "web.pages.templating.environment",
            "context_processors": [*_CONTEXT_PROCESSORS, "web.pages.context.site"],
            "auto_reload": DEVELOPMENT,
        },
    },
    {  # what allauth and Django REST framework have of their own
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request", *_CONTEXT_PROCESSORS]},
    },
]

# -- Database ---------------------------------------------------------------------------------------------------------

if EMBEDDED:
    DATABASES: dict[str, Any] = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(_data_dir() / "countersign.sqlite3"),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",  # a transaction takes the write lock at its start: no lost upgrade
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
                "PRAGMA journal_size_limit=27103364;",
            },
            "TEST": {"NAME": str(DATA_DIR / "test.sqlite3")},
        }
    }
else:
    _like = "postgres://user:password@host:port/name"
    _parts = address_parts("DATABASE_URL", DATABASE_URL, like=_like)
    if _parts.scheme not in ("postgres", "postgresql") or not _parts.path.strip("/"):
        raise ImproperlyConfigured(f"DATABASE_URL must name a PostgreSQL database: write {_like}.")
    DATABASES = {"default": env.db("DATABASE_URL")}
    DATABASES["default"]["ENGINE"] = "core.postgres"
    # PostgreSQL takes longer to plan most statements of a page than to answer them: it plans once what comes again.
    _planning = {"server_side_binding": True, "prepare_threshold": 2}
    DATABASES["default"]["OPTIONS"] = {**_planning, **DATABASES["default"].get("OPTIONS", {})}
    if not RUNNING_TESTS:
        # A thread keeps its connection: one for each of WEB_THREADS in each web process, and for each job.
        DATABASES["default"] |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}

# -- Cache, jobs ------------------------------------------------------------------------------------------------------

if REDIS_URL:
    if address_parts("REDIS_URL", REDIS_URL, like="redis://host:port/number").scheme not in ("redis", "rediss"):
        raise ImproperlyConfigured("REDIS_URL must start with redis:// or rediss://.")
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "countersign",
            "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 5},
        }
    }
    CELERY_BROKER_URL = REDIS_URL
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
        "max_retries": 1,  # these three: else a dead Redis costs each write six seconds
        "interval_start": 0,
        "interval_step": 0.1,
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(_data_dir() / "cache"),
        }
    }
    CELERY_BROKER_URL = "filesystem://"
    _queue = _data_dir() / "queue"
    for _folder in ("messages", "processed", "control"):
        (_queue / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_queue / "messages"),
        "data_folder_out": str(_queue / "messages"),
        "processed_folder": str(_queue / "processed"),
        "control_folder": str(_queue / "control"),
        "polling_interval": 0.2,
    }
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # it corrupts the exchange files of this broker
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # intervals need no memory, so no file that a kill could break
_SWEEP_SECONDS = 10.0 if REDIS_URL else 2.0
CELERY_BEAT_SCHEDULE = {
    # The safety net of the outbox: whatever a lost wake-up or a killed worker left behind.
    "sweep": {
        "task": "notifications.tasks.sweep",
        "schedule": _SWEEP_SECONDS,
        "options": {"expires": _SWEEP_SECONDS},  # while no worker runs, sweeps do not pile up
    },
    # The same for requests: a lost wake-up after a run, a policy or the holder of a stage changed.
    "reconsider": {
        "task": "approvals.tasks.reconsider_pending",
        "schedule": 300.0,
        "options": {"expires": 300.0},
    },
    # Requests that wait for a moment.
    "carry_out_due": {
        "task": "approvals.tasks.carry_out_due",
        "schedule": crontab(),  # on the minute
        "options": {"expires": 60.0},
    },
    # What broken uploads left in the file storage.
    "sweep_storage": {
        "task": "registry.tasks.sweep_storage",
        "schedule": 6 * 3600.0,
        "options": {"expires": 3600.0},
    },
    # Files whose scan was missed: a lost wake-up, an import, a reading that has learned something.
    "scan_missed": {
        "task": "registry.tasks.scan_missed",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
}

# -- Processes --------------------------------------------------------------------------------------------------------

WEB_WORKERS = number("WEB_WORKERS", 1 if EMBEDDED else 2, highest=256)
WEB_THREADS = number("WEB_THREADS", 8, highest=256)
JOB_WORKERS = number("JOB_WORKERS", 4 if EMBEDDED else 2, highest=256)
if EMBEDDED and WEB_WORKERS > 1:
    raise ImproperlyConfigured("WEB_WORKERS above 1 needs DATABASE_URL: SQLite takes one writer at a time.")

# -- Files ------------------------------------------------------------------------------------------------------------


REQUESTS_PER_SECOND = number("REQUESTS_PER_SECOND", 500, lowest=0, highest=1_000_000)
UPLOAD_STALL_SECONDS = number("UPLOAD_STALL_SECONDS", 60, highest=3600)
STATIC_COLLECTED = flag("STATIC_COLLECTED", default=False)  # else they are served from where they lie
STORAGES = {
    "default": storage(STORAGE_URL, folder=DATA_DIR / "files"),
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles" if STATIC_COLLECTED else None
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not STATIC_COLLECTED
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024  # forms and our own API; the MLflow door reads its bodies itself
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

# -- Mail -------------------------------------------------------------------------------------------------------------

if EMAIL_URL:
    try:
        vars().update(env.email_url("EMAIL_URL"))
    except (environ.ImproperlyConfigured, KeyError, ValueError) as error:
        raise ImproperlyConfigured("EMAIL_URL cannot be read: write smtp://user:password@host:port.") from error
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"  # nothing is sent; read them in DATA_DIR/mail
    EMAIL_FILE_PATH = str(DATA_DIR / "mail")
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", default="") or f"Countersign <countersign@{_base.hostname}>"

# -- Signing in -------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.sessions.Backend"]
SESSION_ENGINE = "accounts.sessions"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "/reviews/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/sign-in/"
ACCOUNT_ADAPTER = "web.authentication.ClosedSignup"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]  # without password1, signing in takes no password either
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_RATE_LIMITS = {"login_failed": "5/5m/key,20/5m/ip"}
CSRF_FAILURE_VIEW = "web.errors.csrf_failure"
SESSION_COOKIE_AGE = 14 * 24 * 3600

# -- Our own API ------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["web.authentication.FromMiddleware"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "web.errors.api_exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Countersign",
    "DESCRIPTION": "What the MLflow protocol cannot say: requests, reviews, policies, events.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "web.api.schema.add_errors"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "RequestState": "approvals.models.TransitionRequest.State",
        "DeliveryState": "notifications.models.Delivery.State",
    },
}

# -- The product ------------------------------------------------------------------------------------------------------

CHANGE_GATE = "approvals.gate.GATE"
EVENT_RECORDER = "notifications.events.record"
RUN_CHANGED_TASK = "approvals.tasks.run_changed"
_LEVELS = ("NONE", "READ", "EDIT", "MANAGE_STAGING_VERSIONS", "MANAGE_PRODUCTION_VERSIONS", "MANAGE")
DEFAULT_MODEL_LEVEL = choice("DEFAULT_MODEL_LEVEL", "READ", _LEVELS)
ANYONE_MAY_CREATE_MODELS = flag("ANYONE_MAY_CREATE_MODELS", default=True)
PROTECT_HELD_VERSIONS = flag("PROTECT_HELD_VERSIONS", default=False)
OUTBOUND_ALLOW = env.list("OUTBOUND_ALLOW", default=[])
ALLOWED_SOURCE_SCHEMES = env.list(
    "ALLOWED_SOURCE_SCHEMES", default=["s3", "gs", "wasbs", "abfss", "dbfs", "hdfs", "https"]
)


EXTERNAL_TRACKING_URI, EXTERNAL_TRACKING_AUTHORIZATION = external_tracking(base_url=BASE_URL)
# For `manage.py import_mlflow` alone: the credentials of the server that it reads, by the names its clients use.
IMPORT_TOKEN = env.str("MLFLOW_TRACKING_TOKEN", default="")
IMPORT_USER = env.str("MLFLOW_TRACKING_USERNAME", default="")
IMPORT_PASSWORD = env.str("MLFLOW_TRACKING_PASSWORD", default="")
EVIDENCE_CHANGED_TASK = "approvals.tasks.reconsider_model"
if EXTERNAL_TRACKING_URI:
    # The safety net of the readings: what is due again, and whatever a lost wake-up or a killed worker left behind.
    CELERY_BEAT_SCHEDULE["read_runs"] = {
        "task": "registry.tasks.read_runs",
        "schedule": 15.0,
        "options": {"expires": 15.0},
    }

# -- Security headers -------------------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

# -- Time, language, logs ---------------------------------------------------------------------------------------------

TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en"
USE_I18N = False

LOG_FORMAT = choice("LOG_FORMAT", "text" if EMBEDDED else "json", ("text", "json"))
LOG_LEVEL = choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
_SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso" if LOG_FORMAT == "json" else "%H:%M:%S", utc=LOG_FORMAT == "json"),
    structlog.processors.StackInfoRenderer(),
]
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _SHARED_PROCESSORS,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(
                    [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
                    if LOG_FORMAT == "json"
                    else [
                        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
                    ]
                ),
            ],
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Their routine is one line per task, every two seconds; what goes wrong is a warning or an error.
        **{name: {"level": "WARNING"} for name in ("celery", "kombu", "django_structlog.celery")},
        "kombu.connection": {"level": "ERROR"},  # it warns that a queue of files has no host
        "django.request": {"level": "ERROR"},  # a 4xx is in the line of its request
    },
}
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED_PROCESSORS,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
SILENCED_SYSTEM_CHECKS: list[str] = []
