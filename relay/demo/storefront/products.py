"""The goods of the demo shop. Makers and goods are invented."""

from typing import NamedTuple

from relay.demo.storefront.catalog import Catalog, Product, Variant

_FIRST_PRODUCT_ID = 8_210_400_000_100
_FIRST_VARIANT_ID = 45_310_700_000_000


class _Row(NamedTuple):
    """One line of a price list: option values, stock keeping unit, prices (EUR, USD), crossed-out prices, stock."""

    options: tuple[str, ...]
    sku: str
    prices: tuple[int, int]
    before: tuple[int, int] | None = None
    stock: int = 25
    grams: int = 500


def _variants(number: int, rows: list[_Row]) -> tuple[Variant, ...]:
    return tuple(
        Variant(
            id=_FIRST_VARIANT_ID + number * 1000 + position,
            sku=row.sku,
            options=row.options,
            prices={"EUR": row.prices[0], "USD": row.prices[1]},
            compare_at={"EUR": row.before[0], "USD": row.before[1]} if row.before else {},
            stock=row.stock,
            grams=row.grams,
        )
        for position, row in enumerate(rows, start=1)
    )


PRODUCTS = (
    Product(
        id=_FIRST_PRODUCT_ID + 1,
        handle="stoneware-mug",
        title="Tidewater Stoneware Mug",
        vendor="Fernhill Pottery",
        product_type="Mugs",
        collections=("kitchen", "home"),
        tags=("ceramic", "coffee", "tea", "gift"),
        summary="A thrown-by-hand mug with a reactive glaze and a raw clay foot. No two come out quite the same.",
        details=("Stoneware, lead-free glaze", "Dishwasher and microwave safe", "Small holds 300 ml, large 450 ml"),
        drawing="mug",
        options=("Colour", "Size"),
        variants=_variants(
            1,
            [
                _Row(("Moss", "Small"), "MUG-MOS-S", (1800, 1900), grams=340),
                _Row(("Moss", "Large"), "MUG-MOS-L", (2200, 2400), grams=430),
                _Row(("Oat", "Small"), "MUG-OAT-S", (1800, 1900), grams=340),
                _Row(("Oat", "Large"), "MUG-OAT-L", (2200, 2400), stock=3, grams=430),
                _Row(("Clay", "Small"), "MUG-CLA-S", (1800, 1900), grams=340),
                _Row(("Clay", "Large"), "MUG-CLA-L", (2200, 2400), stock=0, grams=430),
            ],
        ),
    ),
    Product(
        id=_FIRST_PRODUCT_ID + 2,
        handle="rolltop-backpack",
        title="Ridgeway Rolltop Backpack",
        vendor="Northway",
        product_type="Backpacks",
        collections=("outdoor",),
        tags=("bag", "waterproof", "travel", "hiking"),
        summary="Weatherproof waxed canvas, a roll top that grows with the day, and straps you soon forget.",
        details=(
            "Waxed cotton canvas, recycled lining",
            "Padded sleeve for a 15-inch laptop",
            "Repaired free for life",
        ),
        drawing="backpack",
        options=("Colour", "Size"),
        variants=_variants(
            2,
            [
                _Row(("Forest", "18 L"), "BAG-FOR-18", (11900, 12900), grams=980),
                _Row(("Forest", "24 L"), "BAG-FOR-24", (13900, 14900), grams=1120),
                _Row(("Rust", "18 L"), "BAG-RUS-18", (11900, 12900), grams=980),
                _Row(("Rust", "24 L"), "BAG-RUS-24", (13900, 14900), grams=1120),
                _Row(("Slate", "18 L"), "BAG-SLA-18", (11900, 12900), stock=0, grams=980),
                _Row(("Slate", "24 L"), "BAG-SLA-24", (13900, 14900), grams=1120),
            ],
        ),
    ),
    Product(
        id=_FIRST_PRODUCT_ID + 3,
        handle="dome-lamp",
        title="Dusk Dome Lamp",
        vendor="Lumen & Oak",
        product_type="Lighting",
        collections=("home", "sale"),
        tags=("lamp", "light", "bedside", "steel"),
        summary="A soft pool of light for the end of the day. Touch the base once to dim, twice to sleep.",
        details=("Powder-coated steel", "Warm LED included, 2700 K", "Three brightness steps"),
        drawing="lamp",
        options=("Colour",),
        variants=_variants(
            3,
            [
                _Row(("Ochre",), "LMP-OCH", (6900, 7500), before=(8900, 9500), grams=1400),
                _Row(("Sage",), "LMP-SAG", (6900, 7500), before=(8900, 9500), grams=1400),
                _Row(("Clay",), "LMP-CLA", (8900, 9500), grams=1400),
            ],
        ),
    ),
    Product(
        id=_FIRST_PRODUCT_ID + 4,
        handle="wool-blanket",
        title="Highfold Wool Blanket",
        vendor="Tarn Mill",
        product_type="Blankets",
        collections=("home", "outdoor"),
        tags=("wool", "throw", "woven", "gift"),
        summary="Woven from undyed and naturally dyed wool. Light over a chair, warm beside a fire.",
        details=("100 % new wool", "130 x 180 cm with hand-knotted fringe", "Air it, do not wash it"),
        drawing="blanket",
        options=("Colour",),
        variants=_variants(
            4,
            [
                _Row(("Heather",), "BLK-HEA", (9500, 9900), grams=1200),
                _Row(("Oat",), "BLK-OAT", (9500, 9900), grams=1200),
                _Row(("Lake",), "BLK-LAK", (9500, 9900), stock=2, grams=1200),
            ],
        ),
    ),
    Product(
        id=_FIRST_PRODUCT_ID + 5,
        handle="plant-pot",
        title="Terrace Plant Pot",
        vendor="Fernhill Pottery",
        product_type="Planters",
        collections=("home", "outdoor"),
        tags=("ceramic", "plants", "garden", "terracotta"),
        summary="A breathing clay pot with its own saucer, for dry roots and clean shelves. Plant not included.",
        details=("Frost-proof clay", "Drainage hole and saucer", "11, 15 or 19 cm across"),
        drawing="plant",
        options=("Size", "Colour"),
        variants=_variants(
            5,
            [
                _Row(("11 cm", "Terracotta"), "POT-TER-11", (1400, 1500), grams=600),
                _Row(("11 cm", "Chalk"), "POT-CHA-11", (1600, 1700), grams=600),
                _Row(("15 cm", "Terracotta"), "POT-TER-15", (2200, 2400), grams=1100),
                _Row(("15 cm", "Chalk"), "POT-CHA-15", (2500, 2700), grams=1100),
                _Row(("19 cm", "Terracotta"), "POT-TER-19", (3400, 3600), grams=1900),
            ],
        ),
    ),
    Product(
        id=_FIRST_PRODUCT_ID + 6,
        handle="cedar-candle",
        title="Cedar & Smoke Candle",
        vendor="Small Hours",
        product_type="Candles",
        collections=("home", "sale"),
        tags=("soy", "scent", "cedar", "gift"),
        summary="Cedar wood, a little birch smoke, a little vetiver. Smells like a cabin after rain.",
        details=("Soy wax, cotton wick", "Burns about 45 hours", "The glass becomes a tumbler"),
        drawing="candle",
        options=(),
        variants=_variants(6, [_Row((), "CAN-CED", (2400, 2600), before=(2900, 3100), grams=420)]),
    ),
    Product(
        id=_FIRST_PRODUCT_ID + 7,
        handle="trail-bottle",
        title="Trail Insulated Bottle",
        vendor="Northway",
        product_type="Bottles",
        collections=("outdoor", "kitchen"),
        tags=("water", "steel", "hiking", "travel"),
        summary="Cold for a day, hot for half of one. Dents make it better looking.",
        details=("Double-walled steel", "Leak-proof cap with carry loop", "Fits bike cages and car doors"),
        drawing="bottle",
        options=("Colour", "Size"),
        variants=_variants(
            7,
            [
                _Row(("Lake", "500 ml"), "BTL-LAK-500", (2900, 3200), grams=310),
                _Row(("Lake", "750 ml"), "BTL-LAK-750", (3500, 3800), grams=390),
                _Row(("Sand", "500 ml"), "BTL-SAN-500", (2900, 3200), grams=310),
                _Row(("Sand", "750 ml"), "BTL-SAN-750", (3500, 3800), grams=390),
                _Row(("Coal", "500 ml"), "BTL-COA-500", (2900, 3200), grams=310),
            ],
        ),
    ),
    Product(
        id=_FIRST_PRODUCT_ID + 8,
        handle="linen-pillow",
        title="Meadow Linen Pillow",
        vendor="Tarn Mill",
        product_type="Pillows",
        collections=("home",),
        tags=("linen", "cushion", "throw pillow", "embroidered"),
        summary="Washed linen with an embroidered sprig and a feather filling that holds its chop.",
        details=("European flax linen", "Hidden zip, cover washable at 40 °C", "Recycled feather filling"),
        drawing="pillow",
        options=("Colour",),
        variants=_variants(
            8,
            [
                _Row(("Sage",), "PIL-SAG", (4200, 4500), grams=700),
                _Row(("Rust",), "PIL-RUS", (4200, 4500), grams=700),
                _Row(("Ochre",), "PIL-OCH", (4200, 4500), stock=0, grams=700),
            ],
        ),
    ),
)

CATALOG = Catalog(PRODUCTS)
