"""Requests and answers of HTTP, with their limits. Unknown fields are refused."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from adloom.credentials.origin import SourceType
from adloom.credentials.records import Sidecar
from adloom.data.context import MAX_ID_LENGTH
from adloom.data.privacy import normalise_user_id
from adloom.library.records import require_storable
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.api.problems import ProblemBody

SEGMENT = "/v1/segment"
REFRESH = "/v1/models/refresh"
GENERATE = "/v1/creatives/generate"
READ = "/v1/creatives/read"
WRITE = "/v1/copy/generate"
STYLIZE = "/v1/creatives/stylize"
DREAM = "/v1/creatives/dream"
COMPOSE = "/v1/music/generate"

MAX_ITEMS = 64  # pictures or lines that one request generates
MAX_MIX = 8  # categories of a mix
MAX_ATTRIBUTES = 8  # of a request
MAX_BARS = 64  # of a melody
MAX_PICTURES = 16  # pictures that one request reads
MAX_PICTURE_BYTES = 4 * 2**20  # each, decoded from base64
MAX_PICTURE_PIXELS = 16_777_216  # each, by its header
MAX_PAINTED = 512  # pixels of the longest edge of a stylised or dreamt picture
MAX_USERS = 1000  # users or rows in one segment request


def _require_user_id(text: str) -> str:
    if not normalise_user_id(text):
        raise ValueError("a blank user id")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(require_storable)]
UserId = Annotated[Name, AfterValidator(_require_user_id)]
Weight = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Body(BaseModel):
    """Base of requests and answers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class SavingRequest(Body):
    """A request for creatives that the library may keep."""

    save: bool = Field(False, description="Whether the creative library keeps the results, as drafts.")


class SavingAnswer(Body):
    """Creatives that the library may keep."""

    ids: list[str] = Field([], description="Their ids in the creative library, with `save`.")


class ServedModel(Body):
    """A model that serves."""

    model: ModelOrigin
    since: str = Field(description="When it was loaded, ISO 8601, UTC.")
    source: Literal["folder", "registry", "cache"] = Field(
        description="Where the version comes from; cache: the registry does not answer."
    )
    role: Literal["champion", "challenger"] = Field(
        "champion", description="challenger: it answers the share ADLOOM_CANARY_SHARE of the requests."
    )
    categories: list[str] = Field(description="Categories it knows; empty when it has none.")
    attributes: dict[str, list[str]] = Field({}, description="Attributes of pictures that it knows, with their values.")


class ModelList(Body):
    """The served models, and why others are absent."""

    models: list[ServedModel]
    absent: dict[str, str] = Field(description="Model: why it is not served.")
    refused: dict[str, str] = Field({}, description="Model: why its newer version is not served.")


class Readiness(Body):
    """Whether the service may get requests."""

    ready: bool = Field(description="True; otherwise the answer is a problem with status 503.")
    models: list[str] = Field(description="Models that serve.")
    sources: dict[str, str] = Field(description="Model: folder, registry or cache, or none when it is not served.")


class PictureRequest(SavingRequest):
    """A request for pictures, which can be labelled."""

    label: bool = Field(
        False, description="Whether each picture says in a corner that it was made with AI: visibly, in its pixels."
    )


class GenerateRequest(PictureRequest):
    """A request for pictures."""

    category: Name | None = Field(None, description="One of the categories of /v1/models.", examples=["Bag"])
    mix: dict[Name, Weight] | None = Field(
        None,
        min_length=1,
        max_length=MAX_MIX,
        description="Category: its weight, up to 8 categories between which the picture lies; the weights sum to 1. It "
        "takes the place of category, which may be given if it is one of them.",
    )
    attributes: dict[Name, Name] = Field(
        {}, max_length=MAX_ATTRIBUTES, description="Attribute: its value, of those of /v1/models; all are optional."
    )
    n: int = Field(1, ge=1, le=MAX_ITEMS, description="How many pictures.")
    seed: Seed | None = Field(None, description="Equal seeds give equal pictures; drawn and returned when absent.")


class GenerateAnswer(SavingAnswer):
    """Generated pictures, each a PNG with signed content credentials: model, category, seed and AI origin."""

    model: ModelOrigin
    category: str = Field(description="The category that was requested, or the heaviest of mix.")
    mix: dict[str, float] = Field(description="Category: its weight.")
    attributes: dict[str, str] = Field(description="The attributes that were requested.")
    seed: int = Field(description="The seed that gives these pictures again.")
    numbers: list[int] = Field(
        description="Which of the seed's pictures these are, from 0; rejected ones and copies of training pictures are "
        "left out."
    )
    source_type: SourceType = Field(description="IPTC digital source type: made by a model.")
    pictures: list[str] = Field(description="PNG files, base64.")


class ReadRequest(Body):
    """Pictures to read."""

    pictures: list[str] = Field(
        min_length=1,
        max_length=MAX_PICTURES,
        description="PNG, JPEG or WebP files, base64 or data URLs; resized for the model.",
    )
    nearest: int = Field(3, ge=0, le=20, description="How many known creatives to name for each.")


class StylizeRequest(PictureRequest):
    """A picture, and another in which style to paint it."""

    content: str = Field(description="PNG, JPEG or WebP file, base64 or data URL.")
    style: str = Field(description="PNG, JPEG or WebP file, base64 or data URL.")
    strength: float = Field(1.0, ge=0, le=1, description="0 keeps the content, 1 takes the whole style.")
    size: int = Field(256, ge=32, le=MAX_PAINTED, description="Longest edge of the result in pixels.")


class DreamRequest(PictureRequest):
    """A picture to dream into."""

    picture: str = Field(description="PNG, JPEG or WebP file, base64 or data URL.")
    layer: int = Field(
        7, ge=0, le=10, description="Block of the network: 0 to 3 see lines, 4 to 7 patterns, later ones shapes."
    )
    octaves: int = Field(3, ge=1, le=6, description="Sizes to dream in, each 1.4 times the last.")
    steps: int = Field(8, ge=1, le=20, description="Steps per octave.")
    size: int = Field(256, ge=32, le=MAX_PAINTED, description="Longest edge of the result in pixels.")
    seed: Seed = Field(7, description="Equal seeds give equal pictures.")


class PaintedPicture(SavingAnswer):
    """A painted picture, a PNG with signed content credentials: model, inputs and AI origin."""

    model: ModelOrigin
    source_type: SourceType = Field(description="IPTC digital source type: made by a model.")
    picture: str = Field(description="PNG file, base64.")


class Neighbour(Body):
    """A similar known creative."""

    creative_id: str = Field(description="Id of the known creative.")
    category: str = Field(description="Its category.")
    similarity: float = Field(description="Cosine of the two whitened embeddings, in [-1, 1].")


class PictureReading(Body):
    """The CNN's reading of a picture."""

    category: str = Field(description="The most probable one.")
    probabilities: dict[str, float] = Field(description="Category: probability; they sum to 1.")
    embedding: list[float] = Field(description="Unit length.")
    nearest: list[Neighbour] = Field(description="Nearest first.")


class ItemError(Body):
    """The error of one item."""

    error: ProblemBody


class ReadAnswer(Body):
    """One item per picture, in order."""

    model: ModelOrigin
    items: list[PictureReading | ItemError]


class CopyRules(Body):
    """Rules for lines of copy."""

    max_characters: int = Field(60, ge=1, le=200, description="Longest line.")
    banned_words: list[Name] = Field([], max_length=200, description="Words no line may contain, in any case.")
    required_words: list[Name] = Field(
        [], max_length=4, description="Words or phrases that every line contains, in any case."
    )
    no_claims: bool = Field(
        False, description="Whether to ban words of claims that need evidence, such as guaranteed, best or free."
    )
    temperature: float = Field(0.7, ge=0.1, le=2, description="Below 1 safer lines, above 1 bolder ones.")
    top_p: float = Field(
        0.9, ge=0.1, le=1, description="Only the likeliest tokens that together have this probability are drawn."
    )
    guidance: float = Field(4.0, ge=0, le=8, description="Above 0 lines are more typical of their category.")


class CopyRequest(SavingRequest):
    """A request for lines of copy."""

    category: Name | None = Field(None, description="One of the model's categories; any when absent.")
    prompt: str = Field(
        "", max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="How each line begins; no control characters."
    )
    n: int = Field(1, ge=1, le=MAX_ITEMS, description="How many lines.")
    rank_by_clicks: bool = Field(
        False,
        description="Whether to write more lines and return those that promise the most clicks, the best first; needs "
        "a model trained on lines with clicks.",
    )
    seed: Seed | None = Field(None, description="Equal seeds give equal lines; drawn and returned when absent.")
    rules: CopyRules = Field(CopyRules(), description="What each line must obey.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.prompt) > self.rules.max_characters:
            raise ValueError(f"prompt has {len(self.prompt)} characters, rules.max_characters allows fewer")
        return self


class CopyAnswer(SavingAnswer):
    """Lines of copy; fewer than requested when too many broke a rule."""

    model: ModelOrigin
    category: str | None = Field(description="The category that was requested.")
    seed: int = Field(description="The seed that gives these lines again.")
    source_type: SourceType = Field(description="IPTC digital source type: made by a model.")
    lines: list[str] = Field(description="The lines, each with the prompt at its beginning.")
    sidecars: list[Sidecar] = Field(description="The signed origin of each line, for /v1/creatives/verify.")


class MusicRequest(Body):
    """A request for a melody."""

    bars: int = Field(16, ge=1, le=MAX_BARS, description="How many bars.")
    key: str = Field("D", max_length=20, description="Key as in ABC notation.", examples=["D", "Em", "Amix"])
    metre: str | None = Field(
        None, max_length=5, description="Metre; that of most training tunes when absent.", examples=["6/8"]
    )
    seed: Seed | None = Field(None, description="Equal seeds give equal melodies; drawn and returned when absent.")
    temperature: float = Field(1.0, ge=0.1, le=2, description="Below 1 safer notes, above 1 bolder ones.")


class MelodyNote(Body):
    """A note of a melody."""

    pitch: int | None = Field(description="MIDI number, 60 is middle C; null for a rest.")
    ticks: int = Field(description="Duration; a quarter note has 480.")


class MusicAnswer(Body):
    """A melody, with model, seed and AI origin as text events of the MIDI file."""

    model: ModelOrigin
    seed: int = Field(description="The seed that gives this melody again.")
    key: str = Field(description="Its key.")
    metre: str = Field(description="Its metre.")
    source_type: SourceType = Field(description="IPTC digital source type: made by a model.")
    bars: list[list[MelodyNote]] = Field(description="The notes of each bar.")
    midi: str = Field(description="MIDI file, base64.")
    sidecar: Sidecar = Field(description="Signed origin of the MIDI file; keep it next to the file.")


class FeatureRow(Body):
    """The raw features of one user; null when unknown."""

    recency_days: float | None = Field(description="From the last purchase to now.", examples=[12.5])
    frequency: float | None = Field(description="Number of purchases.", examples=[7])
    monetary: float | None = Field(description="Sum of their values, in the events' currency.", examples=[240.0])
    tenure_days: float | None = Field(description="From the first purchase to now.", examples=[400.0])
    interpurchase_days: float | None = Field(
        description="Mean time between two purchases; null for users with one.", examples=[64.0]
    )


class SegmentRequest(Body):
    """Users by id or by their features."""

    users: list[UserId] | None = Field(
        None, min_length=1, max_length=MAX_USERS, description="User ids as the advertiser has them."
    )
    rows: list[FeatureRow] | None = Field(None, min_length=1, max_length=MAX_USERS, description="Features of users.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.users is None) == (self.rows is None):
            raise ValueError("give exactly one of users and rows")
        return self


class SegmentAssignment(Body):
    """A user's segment."""

    segment: str | None = Field(description="Null for a user id that was not in the events.")
    reason: str | None = Field(
        description="Null for a complete answer; unseen, suppressed, or the features that are missing or invalid, for "
        "which the median user's count.",
        examples=["monetary missing"],
    )


class SegmentAnswer(Body):
    """One item per user or row, in order."""

    model: ModelOrigin
    items: list[SegmentAssignment]
