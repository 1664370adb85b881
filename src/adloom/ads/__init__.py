"""Ads: pictures, headlines and logos composed into layered SVG and PNG, checked by rules, and chosen among variants."""
