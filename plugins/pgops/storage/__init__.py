"""Objects in an S3 bucket: streamed in, hashed on the way, read back before they are believed."""

from pgops.storage.bucket import Bucket, ObjectInfo, StoredObject
from pgops.storage.errors import NotThere, StorageError
from pgops.storage.streams import HashingReader, ReadAhead, Reader, read_all

__all__ = [
    "Bucket",
    "HashingReader",
    "NotThere",
    "ObjectInfo",
    "ReadAhead",
    "Reader",
    "StorageError",
    "StoredObject",
    "read_all",
]
