"""What runs inside the sandbox, beside contributed code. Standard library only.

The worker mounts this folder alone, as the package `practicum_runner`; imports stay relative.
"""
