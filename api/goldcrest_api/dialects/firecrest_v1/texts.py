"""Header names and texts of the contract (sections 3 and 5) that more than one route uses. Spelling errors included."""

from __future__ import annotations

from typing import Final

CONNECTION_REFUSED: Final = "Connection refused"
MACHINE_NOT_AVAILABLE: Final = {"X-Machine-Not-Available": "Machine is not available"}
UNKNOWN_MACHINE: Final = {  # both spellings: pyfirecrest knows one, other clients the other (D6)
    "X-Machine-Does-Not-Exist": "Machine does not exist",
    "X-Machine-Does-Not-Exists": "Machine does not exists",
}
DIALECT: Final = "firecrest-v1"  # label of what is made here
UNKNOWN_MACHINE_ERROR: Final = "Machine does not exists"  # the body's text of compute and storage
PERMISSION_DENIED: Final = "X-Permission-Denied"
NO_PERMISSION_MACHINE_OR_PATH: Final = "User does not have permissions to access machine or path"
NO_PERMISSION_PATH: Final = "User does not have permissions to access path"
NO_USER: Final = "Error creating certificate: 'preferred_username'"  # whatever the rule's claim is called
TIMED_OUT: Final = "Command has finished with timeout signal"
NOT_ALLOWED: Final = "Command execution is not allowed in machine"
RETRY_AFTER: Final = {"Retry-After": "2"}  # seconds; what is away is mostly restarting
RETRY_QUOTA: Final = {"Retry-After": "10"}  # seconds; tasks that were read go all the time
RETRY_LATER: Final = {"Retry-After": "60"}  # seconds; a maintenance window is over in minutes or hours
