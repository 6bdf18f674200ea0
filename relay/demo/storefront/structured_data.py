"""schema.org data of a product page, in the shape Shopify's ``structured_data`` filter prints."""

from typing import Any

from relay.demo.storefront.catalog import Product, Variant


def product_json_ld(product: Product, currency: str, base_url: str) -> dict[str, Any]:
    """A ``ProductGroup`` with its variants, or a plain ``Product`` when there is only one. Prices are decimal texts."""
    common: dict[str, Any] = {
        "@context": "http://schema.org/",
        "@id": f"{product.path()}#product",
        "brand": {"@type": "Brand", "name": product.vendor},
        "category": product.product_type,
        "description": product.summary,
        "name": product.title,
        "url": base_url + product.path(),
    }
    if product.has_only_default_variant:
        variant = product.variants[0]
        return common | {
            "@type": "Product",
            "image": base_url + product.picture(variant),
            "offers": _offer(product, variant, currency, base_url),
            "productID": str(product.id),
            "sku": variant.sku,
        }
    return common | {
        "@type": "ProductGroup",
        "hasVariant": [
            {
                "@id": f"{product.path(variant)}#variant",
                "@type": "Product",
                "image": base_url + product.picture(variant),
                "name": product.full_title(variant),
                "offers": _offer(product, variant, currency, base_url),
                "sku": variant.sku,
            }
            for variant in product.variants
        ],
        "productGroupID": str(product.id),
    }


def _offer(product: Product, variant: Variant, currency: str, base_url: str) -> dict[str, Any]:
    return {
        "@id": f"{product.path(variant)}#offer",
        "@type": "Offer",
        "availability": f"http://schema.org/{'InStock' if variant.available else 'OutOfStock'}",
        "price": f"{variant.prices[currency] / 100:.2f}",
        "priceCurrency": currency,
        "url": base_url + product.path(variant),
    }
