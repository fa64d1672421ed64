"""Addresses are those of the routes, under whatever prefix the server lies."""

from __future__ import annotations

from django.urls import reverse, set_script_prefix

from core.addresses import address


def test_an_address_is_that_of_its_route() -> None:
    for name in ("churn", "a:b c", "é?#"):
        assert address("version", name, 3) == reverse("version", args=[name, 3]) == address("version", name, 3)


def test_a_prefix_counts_although_addresses_are_remembered() -> None:
    plain = address("request", 5)
    set_script_prefix("/countersign/")
    try:
        assert address("request", 5) == f"/countersign{plain}"
    finally:
        set_script_prefix("/")
    assert address("request", 5) == plain
