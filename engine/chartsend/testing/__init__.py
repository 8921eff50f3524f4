"""For tests of programs that send files: the sandbox as a process that a test starts and questions."""

from .sandbox import SandboxError, SandboxInfo, SandboxProcess

__all__ = ["SandboxError", "SandboxInfo", "SandboxProcess"]
