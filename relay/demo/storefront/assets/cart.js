/* Cart: the product form, the drawer and the cart page. Each talks to Shopify's Ajax cart and swaps whole sections. */

function fetchConfig(type = "json") {
  return { method: "POST", headers: { "Content-Type": "application/json", Accept: `application/${type}` } };
}

/** Puts the sections a cart answer brought into the page, and the focus back to where it was. */
function renderSections(answer) {
  const focused = document.activeElement?.dataset?.focus;
  for (const [name, html] of Object.entries(answer.sections || {})) {
    const place = document.getElementById(`shopify-section-${name}`);
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector(".shopify-section");
    if (place && fresh) place.innerHTML = fresh.innerHTML;
  }
  if (document.activeElement !== document.body) return;
  // What had the focus is gone with its section: its successor gets it, or else the nearest thing that is still there.
  const drawer = document.querySelector("cart-drawer");
  const place = drawer.isOpen ? drawer : document.getElementById("main");
  const again = focused && place.querySelector(`[data-focus="${CSS.escape(focused)}"]`);
  (again || (drawer.isOpen ? drawer.querySelector("[data-drawer-close]") : place)).focus();
}

function announce(words) {
  const drawer = document.querySelector("cart-drawer");
  const place = drawer?.isOpen ? drawer.querySelector("[data-cart-status]") : document.getElementById("PageStatus");
  if (place) place.textContent = words;
}

/** Changes one line's quantity by its position; 0 removes it. */
async function changeLine(line, quantity, source) {
  const sections = ["cart-drawer", "cart-icon-bubble", "main-cart-items"];
  const config = fetchConfig();
  config.body = JSON.stringify({ line, quantity, sections, sections_url: window.location.pathname });
  const answer = await fetch(routes.cart_change_url, config).then((response) => response.json());
  if (answer.status) {
    document.querySelectorAll("[data-cart-problem]").forEach((place) => (place.textContent = answer.description));
    publish(PUB_SUB_EVENTS.cartError, { source, errors: answer.description, message: answer.message });
    return;
  }
  renderSections(answer);
  announce(quantity === 0 ? "Removed from the cart." : `Quantity is now ${quantity}.`);
  publish(PUB_SUB_EVENTS.cartUpdate, { source, cartData: answer });
}

function onChangeClick(event, source) {
  const button = event.target.closest("[data-change]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true"); // not disabled: that would take the focus away
  changeLine(Number(button.dataset.change), Number(button.dataset.quantity), source)
    .catch(() => {
      document.querySelectorAll("[data-cart-problem]").forEach((place) => {
        place.textContent = "The cart could not be changed. Try again in a moment.";
      });
    })
    .finally(() => button.removeAttribute("aria-disabled"));
}

class CartDrawer extends HTMLElement {
  connectedCallback() {
    this.dialog = this.querySelector("dialog");
    this.addEventListener("click", (event) => {
      if (event.target === this.dialog || event.target.closest("[data-drawer-close]")) this.close();
      else onChangeClick(event, "cart-drawer");
    });
    this.dialog.addEventListener("keydown", (event) => this.keepFocusInside(event));
    this.dialog.addEventListener("close", () => document.documentElement.classList.remove("is-locked"));
    document.querySelectorAll("[data-cart-opener]").forEach((opener) => {
      opener.setAttribute("role", "button");
      opener.setAttribute("aria-haspopup", "dialog");
      opener.addEventListener("click", (event) => {
        if (location.pathname === routes.cart_url || event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        this.open();
      });
      opener.addEventListener("keydown", (event) => {
        if (event.key !== " ") return;
        event.preventDefault();
        opener.click();
      });
    });
  }

  get isOpen() {
    return this.dialog.open;
  }

  open() {
    const root = document.documentElement;
    // The page keeps its width while its scroll bar is away.
    if (!this.dialog.open) root.style.setProperty("--scrollbar", `${window.innerWidth - root.clientWidth}px`);
    if (!this.dialog.open) this.dialog.showModal();
    document.documentElement.classList.add("is-locked");
    this.querySelector("[data-drawer-close]").focus();
  }

  close() {
    this.dialog.close();
  }

  /** A modal dialog makes the page behind it inert; this also keeps Tab from leaving for the browser's own bars. */
  keepFocusInside(event) {
    if (event.key !== "Tab") return;
    const stops = [...this.dialog.querySelectorAll("a[href], button:not([disabled]), input")].filter(
      (each) => each.tabIndex >= 0 && each.offsetParent !== null,
    );
    const edge = event.shiftKey ? stops[0] : stops[stops.length - 1];
    if (document.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? stops[stops.length - 1] : stops[0]).focus();
  }
}

class CartItems extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => onChangeClick(event, "cart-items"));
  }
}

class ProductForm extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.button = this.form.querySelector('[type="submit"]');
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.add();
    });
  }

  async add() {
    if (this.button.getAttribute("aria-disabled") === "true") return;
    this.problem("");
    this.button.setAttribute("aria-disabled", "true");
    this.button.classList.add("is-busy");
    const config = fetchConfig("javascript");
    config.headers["X-Requested-With"] = "XMLHttpRequest";
    delete config.headers["Content-Type"];
    const form = new FormData(this.form);
    form.append("sections", "cart-drawer,cart-icon-bubble");
    form.append("sections_url", window.location.pathname);
    config.body = form;
    try {
      const answer = await fetch(routes.cart_add_url, config).then((response) => response.json());
      if (answer.status) {
        publish(PUB_SUB_EVENTS.cartError, {
          source: "product-form", productVariantId: form.get("id"), errors: answer.description, message: answer.message,
        });
        this.problem(answer.description);
        return;
      }
      renderSections(answer);
      document.querySelector("cart-drawer").open();
      announce(`${answer.title} was added to the cart.`);
      publish(PUB_SUB_EVENTS.cartUpdate, {
        source: "product-form", productVariantId: form.get("id"), cartData: answer,
      });
      await this.tellKlaviyo(answer);
    } catch (failure) {
      this.problem("The cart could not be reached. Try again in a moment.");
    } finally {
      this.button.removeAttribute("aria-disabled");
      this.button.classList.remove("is-busy");
    }
  }

  /** Klaviyo's Added to Cart, with the whole cart as its snippet asks for. Amounts in major units. */
  async tellKlaviyo(line) {
    const cart = await fetch("/cart.js").then((response) => response.json());
    const here = window.location.origin;
    window.klaviyo.track("Added to Cart", {
      $value: cart.total_price / 100,
      AddedItemProductName: line.product_title,
      AddedItemProductID: String(line.product_id),
      AddedItemSKU: line.sku,
      AddedItemCategories: JSON.parse(this.dataset.klaviyoCategories),
      AddedItemImageURL: line.image,
      AddedItemURL: here + line.url,
      AddedItemPrice: line.final_price / 100,
      AddedItemQuantity: Number(new FormData(this.form).get("quantity")) || 1,
      ItemNames: cart.items.map((item) => item.product_title),
      CheckoutURL: `${here}/checkout`,
      Items: cart.items.map((item) => ({
        ProductID: String(item.product_id),
        SKU: item.sku,
        ProductName: item.product_title,
        Quantity: item.quantity,
        ItemPrice: item.final_price / 100,
        RowTotal: item.final_line_price / 100,
        ProductURL: here + item.url,
        ImageURL: item.image,
        ProductCategories: [item.product_type],
      })),
    });
  }

  problem(words) {
    this.querySelector("[data-problem]").textContent = words;
  }
}

customElements.define("cart-drawer", CartDrawer);
customElements.define("cart-items", CartItems);
customElements.define("product-form", ProductForm);
