"""How the command line ends: the one table of exit codes (docs/cli.md lists the same)."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``hyperscale``; the numbers follow k6 where it has one."""

    PASSED = 0
    """The command did what was asked; a job that was judged has passed."""
    ERROR = 1
    """A gate refused, a node of the local cluster did not start or does not live, a job has not ended, a ping failed."""
    USAGE = 2
    """The command line itself is wrong."""
    UNREACHABLE = 69
    """No gate is known, or none answered."""
    FAILED = 99
    """A threshold was not met, or the job did not complete."""
    BAD_CONFIGURATION = 104
    """The job file, what is to be converted, or the configuration is faulty; nothing was started."""
    INTERRUPTED = 105
    """Stopped by Ctrl-C, SIGTERM or the end of the terminal."""
    USER_CODE = 107
    """Code of the job cannot be imported here, or describes no job; nothing was started. A worker that cannot import it
    fails the job: FAILED."""
