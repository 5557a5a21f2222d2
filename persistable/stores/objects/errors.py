"""What obstore says, in words for people; and whether an answer was lost.

obstore has few kinds of errors, and says the rest in their text: what its library for HTTP met, what the server
answered, and how often a request was repeated.
"""

from __future__ import annotations

import errno
import re

from ..remote import Problem, problem_of_status

__all__ = ["first_line", "may_have_happened", "no_credentials", "problem_of", "status_and_code", "was_tried_once"]

_CLUES = {
    "dns error": "the name of the endpoint is not known",
    "Connection refused": "the endpoint refuses the connection",
    "InvalidCertificate": "the certificate of the endpoint is not trusted",
    "InvalidContentType": "the endpoint does not speak https",
    "TimedOut": "the endpoint does not answer",
    "operation timed out": "the endpoint does not answer",
    "kind: Connect,": "there is no connection to the endpoint",
    "error sending request": "the connection was cut",
    "response body": "the connection was cut",
}
"""In obstore's words -> in ours."""

_CREDENTIAL_SERVICES = ("/latest/api/token", "/latest/meta-data", "169.254.170.")
_OF_PROVIDER = "External AWS credential provider: "


def problem_of(error: Exception) -> Problem:
    """Put into words what obstore has raised."""
    text = str(error)
    if any(clue in text for clue in _CREDENTIAL_SERVICES):
        return no_credentials()
    if _OF_PROVIDER in text:
        return no_credentials()._replace(reason=first_line(text.partition(_OF_PROVIDER)[2]))
    status, code = status_and_code(text)
    if status is None and isinstance(error, FileNotFoundError):
        status = 404
    if status is not None or code is not None:
        message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
        return problem_of_status(status, code, message[1] if message else "")
    if isinstance(error, OSError) and error.errno is not None:
        return problem_of_status(None, None, error.strerror or "")._replace(errno=error.errno, transient=False)
    if "arsing Path" in text or "parse path" in text:
        return Problem(first_line(text), "Give it another name.", errno.EINVAL)
    for clue, reason in _CLUES.items():
        if clue in text:
            return problem_of_status(None, None, reason)
    return problem_of_status(None, None, first_line(text))


def may_have_happened(error: Exception) -> bool:
    """Whether the answer to a request was lost."""
    text = str(error)
    return "HttpError {" in text and "kind: Connect," not in text


def was_tried_once(error: Exception) -> bool:
    """Whether the answer was lost, and obstore did not repeat the request, as it does with most."""
    text = str(error)
    return may_have_happened(error) and ("list response body" in text or re.search(r"\bretries: 0,", text) is not None)


def no_credentials() -> Problem:
    remedy = "Give them in storage_options, the environment (AWS_ACCESS_KEY_ID, …), or a profile (AWS_PROFILE)."
    return Problem("no credentials are found", remedy, errno.EACCES)


def status_and_code(text: str) -> tuple[int | None, str | None]:
    """Return HTTP status and S3 code out of what obstore says."""
    if "redirect without LOCATION" in text:  # what S3 says with it is not passed on
        return 301, "PermanentRedirect"
    status = re.search(r"status code: (\d{3})|status: (\d{3})", text)
    code = re.search(r"<Code>(\w+)</Code>|\bcode: \"?([A-Z]\w+)", text)  # the latter where several are deleted at once
    return int(status[1] or status[2]) if status else None, (code[1] or code[2]) if code else None


def first_line(text: str) -> str:
    return text.partition("\n")[0].strip().rstrip(".:")
