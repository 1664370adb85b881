"""The credentials of a line or a melody, and the result of a verification."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adloom.credentials.origin import Origin

State = Literal["whole", "changed", "expired", "stripped"]
Part = Literal["pixels", "metadata", "manifest", "content"]
MAX_FIELD = 16_384  # characters


class Sidecar(BaseModel):
    """A JSON Web Signature of a line or a melody; each field is base64url."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protected: str = Field(max_length=MAX_FIELD, description="Header: the algorithm and the signer's certificates.")
    payload: str = Field(max_length=MAX_FIELD, description="The content's digest, its origin and the time.")
    signature: str = Field(max_length=MAX_FIELD, description="Signature of both.")


@dataclass(frozen=True)
class UsedIngredient:
    """A picture that another was made from, as its manifest names it."""

    title: str
    id: str | None  # sha256:… of its bytes
    relationship: str
    signed: bool  # whether it has a manifest of its own


@dataclass(frozen=True)
class Verification:
    """The credentials of a picture, a line or a melody."""

    state: State
    changed: tuple[Part, ...] = ()
    ours: bool = False  # signed by this project's certificate, or an earlier one of it
    signed_by: str | None = None
    trusted_by: str | None = None  # the issuer, if a trusted authority vouches for it
    made_at: str | None = None
    origin: Origin | None = None
    ingredients: tuple[UsedIngredient, ...] = ()
