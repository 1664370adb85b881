"""The request and the answer of the verification."""

from typing import Literal, Self

from pydantic import Field, model_validator

from adloom.credentials.origin import SourceType
from adloom.credentials.records import Part, Sidecar, State
from adloom.serving.api.schemas import Body

VERIFY = "/v1/creatives/verify"


class VerifyRequest(Body):
    """A picture, or a line or a melody with its sidecar."""

    picture: str | None = Field(None, description="PNG, JPEG or WebP file, base64 or data URL.")
    line: str | None = Field(None, max_length=10_000, description="Line of copy.", examples=["Lovely warm coat"])
    midi: str | None = Field(None, description="MIDI file, base64, as /v1/music/generate gave it.")
    sidecar: Sidecar | None = Field(None, description="Sidecar of the line or the melody, as it was answered with it.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [self.picture, self.line, self.midi].count(None) != 2:
            raise ValueError("give exactly one of picture, line and midi")
        if self.sidecar and self.picture is not None:
            raise ValueError("sidecar: of a line or a melody; a picture has its credentials inside")
        return self


class CreativeOrigin(Body):
    """The model and the inputs of a creative."""

    model: str = Field(description="Name of the model.")
    version: int | None = Field(description="Its version in the registry.")
    digest: str | None = Field(description="sha256 of its artifact's manifest.")
    dataset: str | None = Field(description="Digest of the table that it learned from.")
    seed: int | None = Field(description="The seed.")
    number: int | None = Field(description="Number among the pictures or lines of the seed.")
    facts: dict[str, str] = Field(description="Inputs such as category, mix, strength or layer.")
    source_type: SourceType = Field(description="IPTC digital source type.")


class UsedIngredient(Body):
    """A picture that another was made from."""

    title: str = Field(description="Its role, such as content or style.")
    id: str | None = Field(description="sha256:… of its file.")
    relationship: str = Field(description="inputTo (of a model) or componentOf (a layer).")
    signed: bool = Field(description="Whether it has credentials of its own.")


class IssuedMatch(Body):
    """The issued picture that a picture without whole credentials shows."""

    id: str = Field(description="sha256:… of the file that was issued.")
    kind: Literal["pixels", "whole", "cropped"] = Field(
        description="The same pixels; the whole picture, saved again or resized; or a part of it."
    )
    certainty: float = Field(description="That it is this picture, and not another that looks alike.")
    origin: CreativeOrigin = Field(description="Its origin.")


class VerifyAnswer(Body):
    """The credentials of a picture, a line or a melody."""

    state: State = Field(
        description="whole; changed; expired (signed by a certificate that has expired); or stripped (no credentials)."
    )
    changed: list[Part] = Field(description="The parts that differ from what was signed.")
    ours: bool = Field(description="Whether this service's certificate signed it, or an earlier one.")
    signed_by: str | None = Field(description="Name of the signer's certificate.")
    trusted_by: str | None = Field(description="The issuer, if ADLOOM_CREDENTIALS_TRUST has its authority; else null.")
    made_at: str | None = Field(description="When it was made, by the signer's clock.")
    origin: CreativeOrigin | None = Field(description="Model, seed and inputs, if the manifest is as signed.")
    ingredients: list[UsedIngredient] = Field(description="What it was made from.")
    match: IssuedMatch | None = Field(description="The issued picture it shows, if its credentials are not whole.")
