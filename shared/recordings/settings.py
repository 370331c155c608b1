"""The settings of whoever writes or reads recordings."""

from __future__ import annotations

from pydantic import Field, SecretStr

from shared.runtime.settings import ServiceSettings


class RecordingSettings(ServiceSettings):
    """Where recordings are kept. The names of the keys are those that AWS' own tools use."""

    recordings_url: str | None = Field(
        None,
        description="where recordings are kept: a folder or s3://bucket/folder; unset: nowhere",
    )
    recordings_s3_endpoint: str | None = Field(
        None,
        pattern=r"^https?://",
        description="server that speaks S3's protocol; unset: AWS",
    )
    recordings_timeout_s: float = Field(
        5.0, gt=0, le=60, description="of an operation of the recordings' store"
    )
    aws_region: str | None = Field(None, description="of the bucket of recordings")
    aws_access_key_id: str | None = Field(
        None, description="key of the bucket of recordings; unset: by the machine's role"
    )
    aws_secret_access_key: SecretStr | None = Field(None, description="its secret")
    aws_session_token: SecretStr | None = Field(None, description="its token, if it has one")
