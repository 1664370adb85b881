"""`adloom compose`: a melody of the trained composer."""

from pathlib import Path

import click

from adloom.cli.options import FiniteRange, check_outputs, name_sidecar, write_output


@click.command("compose")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--model", type=Path, default=Path("models/music"), show_default=True, help="Folder of the composer.")
@click.option("--bars", type=click.IntRange(1, 64), default=16, show_default=True, help="Number of bars.")
@click.option("--key", default="D", show_default=True, help="Key as in ABC notation, such as D, Em or Amix.")
@click.option("--metre", help="Metre, such as 6/8; by default that of most training tunes.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Equal seeds give equal melodies.")
@click.option(
    "--temperature",
    type=FiniteRange(0.1, 2),
    default=1.0,
    show_default=True,
    help="Below 1 safer notes, above 1 bolder ones.",
)
@click.option("--wav", type=click.Path(dir_okay=False, path_type=Path), help="Also write the sound to this WAV file.")
@click.option("--roll", type=click.Path(dir_okay=False, path_type=Path), help="Also write the piano roll as PNG.")
def compose(
    target: Path,
    model: Path,
    bars: int,
    key: str,
    metre: str | None,
    seed: int,
    temperature: float,
    wav: Path | None,
    roll: Path | None,
) -> None:
    """
    Compose a melody and write it as a MIDI file, with its signed origin as TARGET.sidecar.json.

    Example: adloom compose --bars 16 --seed 1 --key D out.mid
    """
    from adloom.config.settings import Settings
    from adloom.credentials.origin import SOURCE_TYPE, Origin
    from adloom.errors import ConfigError
    from adloom.music import audio, midi
    from adloom.music.abc_notation import parse_key
    from adloom.music.composing import MelodyRequest, parse_short_metre
    from adloom.music.composing import compose as compose_melody
    from adloom.serving.creatives.issuer import Issuer
    from adloom.serving.creatives.signing_keys import open_signing_key
    from adloom.serving.models.card import ModelCard
    from adloom.serving.models.composer import open_composer
    from adloom.storage import manifest

    check_outputs((target, wav, roll))
    tonic = parse_key(key)
    if tonic is None:
        raise ConfigError(f"--key {key!r}: no key; expected one such as D, Em or Amix")
    request = MelodyRequest(bars, seed, tonic, parse_short_metre(metre or ""), temperature)
    verified = manifest.verify(model)
    if verified.skipped:
        raise ConfigError(f"{model}: skipped: {verified.skipped}")
    composer = open_composer(model, ModelCard(), threads=1)
    tune = compose_melody(composer.write, composer.notes, request, composer.known)
    facts = {"model": manifest.digest(model), "seed": str(seed), "source_type": SOURCE_TYPE}
    texts = tuple(f"adloom:{name}={value}" for name, value in facts.items())
    melody = midi.write_midi(tune, texts)
    described = {"key": str(tune.key), "metre": str(tune.metre)}
    origin = Origin("music", None, facts["model"], verified.inputs.get("table"), seed, facts=described)
    contents = {target: melody}
    if target.is_file() or not target.exists():  # a pipe has no sidecar
        sidecar = Issuer(lambda: open_signing_key(Settings())).issue_file(melody, origin)
        contents[name_sidecar(target)] = f"{sidecar.model_dump_json(indent=1)}\n".encode()
    if wav:
        contents[wav] = audio.render_wav(tune)
    if roll:
        from adloom.music.figures import draw_piano_roll

        contents[roll] = draw_piano_roll(tune)
    for path, content in contents.items():
        write_output(path, content)
    click.echo(f"{target}: {len(tune.notes)} notes in {bars} bars of {tune.metre}, {tune.key}")
