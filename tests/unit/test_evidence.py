"""What evidence is worth: the order is the design's, and every class has a place in it."""

import pytest

from relay.identity.evidence import BRIDGES, RECOGNISED, STRONG, WORTH, Evidence, Recognition
from relay.identity.resolve import Link, proven


def link(evidence: Evidence) -> Link:
    return Link(person_id="p", evidence=evidence, first_at=1.0, last_at=2.0, message_id="m", sendable=True)


def test_the_order_of_evidence() -> None:
    by_strength = sorted(WORTH, key=lambda evidence: WORTH[evidence].strength, reverse=True)
    assert by_strength == list(Evidence)
    assert by_strength[:4] == [Evidence.ORDER, Evidence.SIGNED_CUSTOMER, Evidence.SERVER, Evidence.FORM]
    assert set(by_strength[-3:]) == BRIDGES


def test_stronger_evidence_is_believed_more() -> None:
    for persons in ([e for e in Evidence if e not in BRIDGES], [e for e in Evidence if e in BRIDGES]):
        confidences = [WORTH[evidence].confidence for evidence in persons]
        assert confidences == sorted(confidences, reverse=True)
        assert all(0 < confidence < 1 for confidence in confidences)


@pytest.mark.parametrize(
    ("evidence", "strong"),
    [
        (Evidence.ORDER, True),
        (Evidence.SIGNED_CUSTOMER, True),
        (Evidence.SERVER, True),
        (Evidence.FORM, True),
        (Evidence.MAILBOX, False),
        (Evidence.LINK, False),
        (Evidence.KX, False),
        (Evidence.PROFILE_LINK, False),
        (Evidence.CLIENT_ID, False),
        (Evidence.ANALYTICS, False),
        (Evidence.CLICK, False),
    ],
    ids=str,
)
def test_who_is_named_by_the_evidence_alone(evidence: Evidence, strong: bool) -> None:
    assert (WORTH[evidence].strength >= STRONG) is strong


def test_every_class_says_in_words_what_it_rests_on() -> None:
    assert set(WORTH) == set(Evidence)
    assert set(RECOGNISED) == set(Recognition)
    assert len({worth.words for worth in WORTH.values()}) == len(Evidence)


@pytest.mark.parametrize(
    ("evidence", "recognition", "confidence", "words"),
    [
        pytest.param(Evidence.FORM, Recognition.DIRECT, 0.98, "this person gave", id="said in the call itself"),
        pytest.param(Evidence.FORM, Recognition.COOKIE, 0.98, "; recognised by our signed", id="form, by cookie"),
        pytest.param(Evidence.ORDER, Recognition.COOKIE, 0.99, "reported an order", id="order, by cookie"),
        pytest.param(Evidence.ORDER, Recognition.MIRROR, 0.98, "its cookie was gone", id="order, by mirror"),
        pytest.param(Evidence.KX, Recognition.MIRROR, 0.9, "opened a Klaviyo link", id="link, by mirror"),
        pytest.param(Evidence.ORDER, Recognition.HANDLE, 0.97, "put into the cart", id="order, by the cart's handle"),
    ],
)
def test_a_chain_is_as_sure_as_its_weakest_step(
    evidence: Evidence, recognition: Recognition, confidence: float, words: str
) -> None:
    resolution = proven(link(evidence), recognition)
    assert (resolution.person_id, resolution.reason) == ("p", None)
    assert resolution.confidence == confidence
    assert words in resolution.evidence
    assert resolution.evidence.startswith(WORTH[evidence].words)


@pytest.mark.parametrize("recognition", [Recognition.DIRECT, Recognition.NONE])
def test_what_needs_no_recognition_adds_no_words(recognition: Recognition) -> None:
    assert proven(link(Evidence.FORM), recognition).evidence == WORTH[Evidence.FORM].words
