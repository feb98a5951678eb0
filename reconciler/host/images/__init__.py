"""Images: from a registry or a folder to layers on disk that overlayfs can mount.

`store` is the port; `registry` and `layout` say where an image comes from, `documents` and `config` read what
strangers wrote, `unpack` is the confined child that turns a layer into a directory. Nothing is imported here,
because the child imports this package too.
"""
