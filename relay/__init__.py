"""Backflow relay: the path of one event.

1. ``web.collect``        checks origin or key, decodes the batch, finds the visitor in the cookie or mirror,
                          (``web.webhooks``, ``web.app_proxy`` and ``web.go`` put what they hear into the same journal)
2. ``store`` (journal)    commits the batch; only now the caller gets its 2xx.
3. ``pipeline.process``   reads the journal in order and takes each message through
4. ``pipeline.canonical`` one vocabulary and one product shape for Meta, GA4, Segment, Shopify and Klaviyo names,
5. ``pipeline.consent``   what may be kept, linked and forwarded,
6. ``identity.resolve``   whose event this is, and by which evidence (or nobody's yet),
7. ``pipeline.decide``    native, backup, waiting or suppressed, with the reason,
8. ``store`` (outbox)     one transaction: event, identity changes, deliveries and the journal position.
9. ``delivery.worker``    claims, paces, maps (``klaviyo.mapping``), sends (``klaviyo.client``) and settles.
10. ``web.console``       shows what happened and why.
"""

__version__ = "0.1.0"
