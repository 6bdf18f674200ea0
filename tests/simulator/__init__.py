"""A shop full of people whose truth is known, before a real relay: how many carts come back, and to whom.

1. ``parameters``      every number of the world, with its source,
2. ``people``          persons, households, networks; devices and the browsers on them,
3. ``browsers``        what each browser keeps and strips, and for how long,
4. ``klaviyo_script``  the baseline: what Klaviyo's own script knows, queues and replays,
5. ``stage``           the relay under test: its real door over HTTP, journal, processor, sender; a clock moved by hand,
6. ``tab``             one visit of one person: the messages the tag sends,
7. ``scene``           the words of the stories: somebody before a browser, and how a visit begins,
8. ``stories``         what people do, one idea each; hazards can be told alone,
9. ``truth``           who really sat before the browser at each action,
10. ``score``          lift, precision, wrong persons, doubles and recall; ``report`` and ``plot`` show them.

``python -m tests.simulator --people 5000 --seed 7`` is the long form; ``test_simulator`` runs a short one.
"""
