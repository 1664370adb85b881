"""
Time 100 variants of an ad in all six IAB sizes, with the rules and credentials.

Example: python benchmarks/ads.py models --category Bag
"""

import argparse
import resource
import time
from pathlib import Path

from adloom.ads.brand import Brand
from adloom.ads.placements import IAB
from adloom.ads.typefaces import find_default_typefaces
from adloom.config.brand import BrandKit
from adloom.serving.creatives.ad_variants import CreativeBrief, plan_variants
from adloom.serving.creatives.ads import finish_ads
from adloom.serving.creatives.issuer import create_memory_issuer
from adloom.serving.models import loader, sources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--category", default="Bag")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--headline")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    models = loader.load(sources.find_in_folder(options.models, ["gan", "cnn", "lstm"]), options.processes)
    brand = Brand(BrandKit(name="Northfold"), find_default_typefaces())
    brief = CreativeBrief(options.n, IAB, 1, options.category, headline=options.headline)
    start = time.perf_counter()
    plan = plan_variants(brief, models, brand.kit)
    planned = time.perf_counter()
    ads = list(finish_ads(brief, plan, brand, create_memory_issuer(), options.processes))
    seconds = time.perf_counter() - start
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    weights = [len(ad.file) for ad in ads]
    print(f"{len(ads)} ads of {len(plan.variants)} variants: {seconds:.1f} s, of which {planned - start:.1f} s choose")
    print(f"CPU seconds: {sum(each.ru_utime + each.ru_stime for each in usage):.1f}")
    print(f"without findings: {sum(not ad.ad.findings for ad in ads)}; heaviest file: {max(weights) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
