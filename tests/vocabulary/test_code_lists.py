"""The codes of land-cover maps fit the tree of concepts."""

import pytest

from satimnet.builder.vocabulary.code_lists import RELATIONS, code_lists
from satimnet.builder.vocabulary.concepts import scheme_of

SCHEME = scheme_of()


@pytest.mark.parametrize("codes", code_lists(), ids=lambda codes: codes.id)
def test_codes_are_of_concepts(codes):
    assert codes.codes.keys() <= SCHEME.concepts.keys()
    assert {code.relation for code in codes.codes.values()} <= set(RELATIONS)
    assert all(code.label for code in codes.codes.values())


def test_a_narrower_concept_has_a_longer_code_of_corine():
    """A class of CORINE lies in the one whose code is the beginning of its own."""
    (corine,) = [codes for codes in code_lists() if codes.id == "clc"]
    exact = {id_: code.code for id_, code in corine.codes.items() if code.relation == "exact"}
    compared = 0
    for id_, code in exact.items():
        above = SCHEME.concepts[id_].broader
        while above is not None and above not in exact:
            above = SCHEME.concepts[above].broader
        if above is not None:
            assert code.startswith(exact[above]), (id_, above)
            compared += 1
    assert compared > 40
    assert len(set(exact.values())) == len(exact)
