"""Files of runs and logged models: up and down as streams, hashed on the way, frozen once a version is made of them.

A file is a row; its bytes lie under a name of our own. So no path that a client gave reaches the disk, a file appears
whole or not at all, and a folder is a question to the database.
"""

from registry.artifacts.direct import (
    Begun,
    abort_upload,
    begin_upload,
    direct_download,
    finish_upload,
    is_offered,
    require_offered,
)
from registry.artifacts.files import (
    Entry,
    delete_path,
    file_of_version,
    files_of_versions,
    get_file,
    list_folder,
    open_file,
    require_thawed,
    store,
)
from registry.artifacts.paths import Place, clean_path, parse_path

__all__ = [
    "Begun",
    "Entry",
    "Place",
    "abort_upload",
    "begin_upload",
    "clean_path",
    "delete_path",
    "direct_download",
    "file_of_version",
    "files_of_versions",
    "finish_upload",
    "get_file",
    "is_offered",
    "list_folder",
    "open_file",
    "parse_path",
    "require_offered",
    "require_thawed",
    "store",
]
