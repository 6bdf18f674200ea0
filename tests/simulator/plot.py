"""The picture: of the abandoned carts in each kind of browser, how many reach their person at Klaviyo."""

import re
import sys

import pygal
from pygal.style import Style

from tests.simulator.score import ALL, UNNAMED, Score

# For old names of its maps pygal looks at every import, by a protocol that Python warns of and has given up in 3.12.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

_STYLE = Style(
    background="#ffffff", plot_background="#ffffff", foreground="#333333", foreground_strong="#111111",
    foreground_subtle="#999999", colors=("#8a8f98", "#1f7a5a", "#e6e6e2"), font_family="system-ui, sans-serif",
    title_font_size=17, label_font_size=13, major_label_font_size=13, legend_font_size=13, value_font_size=12,
)  # fmt: skip


def draw(verdict: Score, command: str) -> bytes:
    """An SVG without scripts; the same verdict makes the same bytes. ``command`` says how to make it again."""
    kinds = sorted(name for name in verdict.reach if name not in (ALL, UNNAMED))
    rows = [verdict.reach[name] for name in (*reversed(kinds), UNNAMED, ALL)]
    chart = pygal.HorizontalStackedBar(
        style=_STYLE, width=920, height=420, js=(), pretty_print=True, print_values=True, legend_at_bottom=True,
        legend_at_bottom_columns=3, show_y_guides=False, show_x_guides=False, truncate_legend=-1, range=(0, 100),
        margin=14, spacing=12,
        formatter=lambda value: f"{value:.0f} %" if value and value >= 3 else "",
        title="Abandoned carts whose person Klaviyo is told of",
        x_labels_major=[],
    )  # fmt: skip
    chart.x_labels = [*reversed(kinds), UNNAMED, ALL]

    def shares(values: list[int]) -> list[float]:
        return [
            100.0 * value / row.abandoned if row.abandoned else 0.0 for value, row in zip(values, rows, strict=True)
        ]

    chart.add("by Klaviyo's own script", shares([row.by_klaviyo for row in rows]))
    chart.add("only with Backflow", shares([row.with_relay - row.by_klaviyo for row in rows]))
    chart.add("not reached", shares([row.abandoned - row.with_relay for row in rows]))
    return _bare(chart.render(), chart.uuid, command)


def _bare(svg: bytes, uuid: str, command: str) -> bytes:
    """Without the chart's random ID and its scripts."""
    text = re.sub(r"<script.*?</script>", "", svg.decode(), flags=re.DOTALL).replace(uuid, "recovery")
    return text.replace("<!--Generated", f"<!--{command.replace('--', '')}-->\n<!--Generated", 1).encode()
