"""What a product of the demo shop is, and how it is found. The goods themselves are in ``products``."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

#: The variant title Shopify gives a product that has no options; its cart answers then say ``variant_title: null``.
DEFAULT_TITLE = "Default Title"


class Variant(Struct, frozen=True, kw_only=True):
    """One thing that can be bought. Prices are in minor units by currency.

    ``stock`` is the most one cart may hold; orders do not lower it, so that every run of the demo is the same.
    """

    id: int
    sku: str
    options: tuple[str, ...]
    prices: Mapping[str, int]
    compare_at: Mapping[str, int] = {}
    stock: int = 25
    grams: int = 500

    @property
    def title(self) -> str:
        return " / ".join(self.options) or DEFAULT_TITLE

    @property
    def available(self) -> bool:
        return self.stock > 0


class Product(Struct, frozen=True, kw_only=True):
    """One product page: its words, its options in order, and its variants."""

    id: int
    handle: str
    title: str
    vendor: str
    product_type: str
    collections: tuple[str, ...]
    tags: tuple[str, ...]
    summary: str
    details: tuple[str, ...]
    drawing: str  #: name of the picture template
    options: tuple[str, ...]
    variants: tuple[Variant, ...]

    @property
    def has_only_default_variant(self) -> bool:
        return not self.options

    @property
    def available(self) -> bool:
        return any(variant.available for variant in self.variants)

    @property
    def first_variant(self) -> Variant:
        """The variant a visitor sees first: the first one in stock, else the first."""
        return next((variant for variant in self.variants if variant.available), self.variants[0])

    @property
    def category_names(self) -> list[str]:
        return [COLLECTIONS[handle] for handle in self.collections]

    def colour(self, variant: Variant) -> str:
        """The variant's colour, lower case: it chooses the picture. ``plain`` where there is no such option."""
        if "Colour" not in self.options:
            return "plain"
        return variant.options[self.options.index("Colour")].lower()

    def picture(self, variant: Variant) -> str:
        """Path of the variant's picture."""
        return f"/pictures/{self.handle}/{self.colour(variant)}.svg"

    def path(self, variant: Variant | None = None) -> str:
        """Path of the product page, with the variant chosen if one is given."""
        return f"/products/{self.handle}" + (f"?variant={variant.id}" if variant else "")

    def full_title(self, variant: Variant) -> str:
        """The line title Shopify builds: ``Product - Variant``, or the product's alone."""
        return self.title if self.has_only_default_variant else f"{self.title} - {variant.title}"

    def option_values(self, option: str) -> list[str]:
        """The values of one option in the order of the variants, each once."""
        position = self.options.index(option)
        return list(dict.fromkeys(variant.options[position] for variant in self.variants))


#: Handle -> title of the collections, in the order of the menu. ``all`` is every product.
COLLECTIONS = {"home": "Home", "kitchen": "Kitchen", "outdoor": "Outdoor", "sale": "Sale"}


class Catalog:
    """All products, by handle and by variant."""

    def __init__(self, products: Iterable[Product]) -> None:
        self.products = tuple(products)
        self._by_handle = {product.handle: product for product in self.products}
        self._by_variant = {variant.id: (product, variant) for product in self.products for variant in product.variants}

    def product(self, handle: str) -> Product | None:
        return self._by_handle.get(handle)

    def variant(self, variant_id: int) -> tuple[Product, Variant] | None:
        """A variant with the product it belongs to, or None."""
        return self._by_variant.get(variant_id)

    def collection(self, handle: str) -> list[Product]:
        """The products of a collection; of an unknown one, none."""
        if handle == "all":
            return list(self.products)
        return [product for product in self.products if handle in product.collections]

    def search(self, query: str) -> list[Product]:
        """Products in which every word of the query occurs: in title, vendor, type, tags or option values."""
        words = query.lower().split()
        return [product for product in self.products if words and all(word in _haystack(product) for word in words)]


def _haystack(product: Product) -> str:
    values = [value for variant in product.variants for value in variant.options]
    return " ".join([product.title, product.vendor, product.product_type, *product.tags, *values]).lower()
