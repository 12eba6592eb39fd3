"""Objects in an S3 bucket: streamed in, hashed on the way, read back before they are believed."""

from pgops.storage.bucket import Bucket, ObjectInfo, StoredObject
from pgops.storage.custody import Custody, Lock
from pgops.storage.errors import Locked, NotThere, StorageError
from pgops.storage.streams import HashingReader, ReadAhead, Reader, read_all

__all__ = [
    "Bucket",
    "Custody",
    "HashingReader",
    "Lock",
    "Locked",
    "NotThere",
    "ObjectInfo",
    "ReadAhead",
    "Reader",
    "StorageError",
    "StoredObject",
    "read_all",
]
