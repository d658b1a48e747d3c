"""``/compute``: batch jobs (contract section 5). Each success creates a task; the work is done elsewhere."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands.base import check_file
from goldcrest.errors import GoldcrestError, InvalidInput, NotFound
from goldcrest.models.task import CANCEL_LIMIT
from goldcrest_api.dialects.firecrest_v1 import failures, queries
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson, created
from goldcrest_api.dialects.firecrest_v1.call import Call
from goldcrest_api.dialects.firecrest_v1.fields import NotJson, environment, is_text, outcome
from goldcrest_api.dialects.firecrest_v1.texts import DIALECT, UNKNOWN_MACHINE_ERROR
from goldcrest_api.labels import read_labels
from goldcrest_api.services.scripts import RemoteScript, UploadedScript
from goldcrest_api.services.submissions import KeyReused, Submission, SubmissionFailed
from goldcrest_api.system_cache import SystemView

_UPLOAD: Final = "Failed to submit job file"
_PATH: Final = "Failed to submit job"
_DELETE: Final = "Failed to delete job"


async def submit_upload(request: Request) -> Response:
    """Submit a batch script that comes with the request."""
    call = await queries.entered(request)
    system = call.machine(description=_UPLOAD, error=UNKNOWN_MACHINE_ERROR)
    form = await call.form(description=_UPLOAD)
    account = _account(form)
    script = await _uploaded_script(form)
    variables = _environment(form, not_json="Invalid JSON in 'env' variable ({})", description=_UPLOAD)
    labels = _labels(form, description=_UPLOAD)
    return await _submit(call, system, script, account, variables, labels, route="POST /compute/jobs/upload")


async def submit_path(request: Request) -> Response:
    """Submit a batch script that lies on the system."""
    call = await queries.entered(request)
    system = call.machine(description=_PATH, error=UNKNOWN_MACHINE_ERROR, prefix=_PATH)
    form = await call.form(description=_PATH)
    path = _text(form, "targetPath")
    wrong = outcome(path)
    if path is None or wrong is not None:
        raise Refusal(400, description=_PATH, error=f"'targetPath' {wrong}")
    account = _account(form)
    variables = _environment(form, not_json="Invalid JSON environment provided", description=_PATH)
    labels = _labels(form, description=_PATH)
    try:
        check_file(path, name="targetPath")
    except InvalidInput as error:
        raise Refusal(
            400,
            description=_PATH,
            error=error.message,
            headers={"X-Invalid-Path": f"{path} is an invalid path."},
        ) from error
    return await _submit(call, system, RemoteScript(path), account, variables, labels, route="POST /compute/jobs/path")


async def cancel(request: Request) -> Response:
    """Cancel jobs, by the scheduler's ids: one, or several with commas."""
    call = await queries.entered(request)
    system = call.machine(description=_DELETE, error=UNKNOWN_MACHINE_ERROR)
    job_id = str(request.path_params["jobid"])
    wrong = outcome(job_id)
    if wrong is not None:
        raise Refusal(400, description=_DELETE, error=f"'jobid' {wrong}")
    if job_id.isascii() and job_id.isdigit():
        try:
            job = await call.context.lookup.of_scheduler_id(system.name, job_id, call.caller)
            job = await call.context.cancellations.cancel(job, call.caller, call.trace)
            return created(job.cancel_task_id, status=200)
        except NotFound:
            pass  # not submitted here: Slurm knows whose it is
        except GoldcrestError as error:
            raise failures.of_cancelling(error, description=_DELETE) from error
    ids = [one for one in job_id.split(",") if one]
    if not ids or len(ids) > CANCEL_LIMIT:
        raise Refusal(400, description=_DELETE, error=f"'jobid' has {len(ids)} ids; 1 to {CANCEL_LIMIT} are allowed")
    return await queries.begin(call, system, {"cancelJob": {"jobIds": ids}}, description=_DELETE)


async def status(request: Request) -> Response:
    """Say that this service is there."""
    await queries.entered(request)
    return SortedJson({"success": "ack"})


async def _submit(
    call: Call,
    system: SystemView,
    script: UploadedScript | RemoteScript,
    account: str | None,
    variables: dict[str, str],
    labels: dict[str, str],
    *,
    route: str,
) -> Response:
    description = _PATH if isinstance(script, RemoteScript) else _UPLOAD
    key = call.request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 255:
        raise Refusal(400, description=description, error="Idempotency-Key needs 1 to 255 characters")
    submission = Submission(
        system=system,
        script=script,
        route=route,
        dialect=DIALECT,
        account=account,
        environment=variables,
        labels=labels,
        idempotency_key=key,
    )
    try:
        job = await call.context.submissions.submit(submission, call.caller, call.trace)
    except KeyReused as error:
        raise Refusal(422, description=description, error=error.message) from error
    except SubmissionFailed as error:
        raise failures.of_submission(error, description=description, script=script) from error
    return created(job.task_id, status=201)


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) else None


def _account(form: FormData) -> str | None:
    account = _text(form, "account")
    wrong = outcome(account)
    if account is None or wrong is None:
        return account
    raise Refusal(400, description="Invalid account", error=f"'account' {wrong}")


async def _uploaded_script(form: FormData) -> UploadedScript:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refusal(400, description=_UPLOAD, error="No batch file part")
    if not file.filename:
        raise Refusal(400, description=_UPLOAD, error="No batch file selected")
    if not is_text(file.filename):
        raise Refusal(400, description=_UPLOAD, error="The name of the batch file has invalid char")
    content = await file.read()
    if not content:
        raise Refusal(400, description=_UPLOAD, error="Batch file is empty")
    return UploadedScript(file.filename, content)


def _environment(form: FormData, *, not_json: str, description: str) -> dict[str, str]:
    text = _text(form, "env")
    if not text:
        return {}
    try:
        return environment(text)
    except NotJson as error:
        raise Refusal(404, description=_PATH, error=not_json.format(text)) from error
    except ValueError as error:
        raise Refusal(400, description=description, error=str(error)) from error


def _labels(form: FormData, *, description: str) -> dict[str, str]:
    text = _text(form, "labels")
    if not text:
        return {}
    try:
        return read_labels(text)
    except ValueError as error:
        raise Refusal(400, description=description, error=str(error)) from error
