"""What has been, as both stores remember it: read by whoever asks why."""

from relay.identity.evidence import Evidence
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.model import Reason, Trust
from relay.store.base import Transaction
from relay.store.links import UNLINKED
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import NOW


def test_a_delivery_is_found_by_each_of_its_names(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        event_id = tx.ledger.add_event(factories.stored_event(message_id="the-message"))
        for unique_id in ("placed_order:1", "ordered_product:1"):
            assert tx.outbox.add(factories.draft(unique_id=unique_id, event_id=event_id))
        assert tx.outbox.add(factories.draft(unique_id="another"))
        both = tx.history.deliveries("shop", "the-message")
        assert [row["unique_id"] for row in both] == ["placed_order:1", "ordered_product:1"]
        assert both[0]["delivery_id"] < both[1]["delivery_id"]
        assert tx.history.deliveries("shop", "ordered_product:1") == [both[1]]
        assert tx.history.deliveries("shop", str(both[0]["delivery_id"])) == [both[0]]
        for nobody in ("", "0", "9" * 30, "\u0663", "the-messag", "%"):
            assert tx.history.deliveries("shop", nobody) == []
        assert tx.history.deliveries("other", "the-message") == []

    opened.do(work)


def test_an_event_is_found_by_its_message_whoever_sent_it(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        for source in Trust:
            tx.ledger.add_event(factories.stored_event(message_id="m", source=source))
        found = tx.history.events("shop", "m")
        assert [event.source for event in found] == list(Trust)
        assert found[0].body == factories.kept()
        assert tx.history.event("shop", found[1].event_id) == found[1]
        assert tx.history.event("other", found[1].event_id) is None

    opened.do(work)


def test_ended_ties_are_remembered_with_their_reason(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = tx.graph.new_person("shop", NOW)
        tx.graph.tie("shop", "v", jane, Evidence.KX, at=NOW, message_id="m1")
        tx.graph.tie("shop", "v", jane, Evidence.FORM, at=NOW + 1, message_id="m2")
        assert tx.graph.unlink("shop", "v", jane, Evidence.FORM, at=NOW + 2) == 1
        kx, form = tx.history.ties("shop", "v")
        assert (kx.evidence, kx.ended_at, kx.end_reason) == (Evidence.KX, None, None)
        assert (form.evidence, form.ended_at, form.end_reason) == (Evidence.FORM, NOW + 2, UNLINKED)
        assert (form.person_id, form.message_id, form.first_at) == (jane, "m2", NOW + 1)
        assert tx.history.is_visitor("shop", "v")
        assert not tx.history.is_visitor("shop", "w")
        assert not tx.history.is_visitor("other", "v")

    opened.do(work)


def test_what_had_ended_before_is_taken_back_too_and_only_once(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = tx.graph.new_person("shop", NOW)
        tx.graph.tie("shop", "v", jane, Evidence.FORM, at=NOW, message_id="m1")
        tx.graph.untie("shop", "v", at=NOW + 1, reason="signed_out")
        assert tx.graph.persons_since("shop", "v", NOW) == 1
        assert tx.graph.unlink("shop", "v", jane, None, at=NOW + 2, reason="corrected") == 0
        assert tx.graph.unlink("shop", "v", jane, None, at=NOW + 2) == 1
        assert tx.graph.unlink("shop", "v", jane, None, at=NOW + 3) == 0
        assert tx.graph.persons_since("shop", "v", NOW) == 0

    opened.do(work)


def test_a_merge_is_revoked_once_and_only_a_later_word_unites_again(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        graph = tx.graph
        jane, other = graph.new_person("shop", NOW), graph.new_person("shop", NOW)
        graph.unite("shop", other, jane, at=NOW, message_id="m1")
        assert graph.canonical("shop", other) == jane
        assert graph.revoke("shop", other, jane, at=NOW + 2)
        assert not graph.revoke("shop", other, jane, at=NOW + 3)
        assert graph.canonical("shop", other) == other
        graph.unite("shop", other, jane, at=NOW + 1, message_id="m0")
        assert graph.canonical("shop", other) == other, "a word from before"
        (merge,) = tx.history.merges("shop", [jane])
        assert (merge.message_id, merge.revoked_at) == ("m1", NOW + 2)
        assert tx.history.merges_by("shop", "m1") == tx.history.merges("shop", [other, jane]) == [merge]
        graph.unite("shop", other, jane, at=NOW + 4, message_id="m2")
        assert graph.canonical("shop", other) == jane
        assert [each.message_id for each in tx.history.merges("shop", [jane])] == ["m2"]
        assert tx.history.merges("other", [jane]) == []

    opened.do(work)


def test_whom_a_message_named_last_is_known(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane, john = tx.graph.new_person("shop", NOW), tx.graph.new_person("shop", NOW)
        email = Identifier(IdentifierKind.EMAIL, "jane@shop.example")
        tx.graph.attach("shop", email, jane, trust=Trust.SERVER, at=NOW, message_id="m1")
        assert tx.graph.owners("shop", [email])[email].holder_id == jane
        assert tx.history.named_by("shop", [jane, john], "m1") == {jane}
        assert tx.history.named_by("shop", [john], "m1") == set()

    opened.do(work)


def test_a_waiting_delivery_that_is_nobodys_again_waits_on(opened: OpenStore) -> None:
    waiting = opened.add(state="waiting", reason=Reason.IDENTITY_PENDING)
    opened.add()

    def work(tx: Transaction) -> None:
        for delivery in tx.outbox.unsent("shop", person_id="person"):
            tx.outbox.disown(delivery)
        (row,) = tx.history.deliveries("shop", waiting.unique_id)
        assert (row["state"], row["reason"], row["person_id"]) == ("waiting", Reason.NO_IDENTITY, None)
        assert len(tx.outbox.unsent("shop", person_id="person")) == 1, "what is due stays as it is"

    opened.do(work)
