/* The rest of the theme: variant picker, quantity, menu, newsletter. */

class VariantSelects extends HTMLElement {
  connectedCallback() {
    this.variants = JSON.parse(this.querySelector('script[type="application/json"]').textContent);
    this.addEventListener("change", (event) => this.choose(event.target.closest("fieldset")));
    // A version chosen before this script was here, or restored by the browser on the way back.
    const variant = this.find(this.chosen);
    if (variant && String(variant.id) !== this.closest("form").querySelector(".product-variant-id").value) this.show(variant);
    this.mark();
  }

  get chosen() {
    return [...this.querySelectorAll("fieldset")].map((set) => set.querySelector("input:checked").value);
  }

  find(options) {
    return this.variants.find((variant) => variant.options.every((value, i) => value === options[i]));
  }

  choose(changed) {
    const position = Number(changed.dataset.option);
    const wanted = this.chosen;
    // Not every combination is made: then the first one that has the value just chosen.
    const variant = this.find(wanted) || this.variants.find((each) => each.options[position] === wanted[position]);
    this.show(variant);
    this.mark();
    publish(PUB_SUB_EVENTS.variantChange, { data: { variant } });
  }

  show(variant) {
    const product = this.closest(".product");
    const put = (selector, words) => (product.querySelector(selector).textContent = words);
    this.querySelectorAll("fieldset").forEach((set, i) => {
      set.querySelector("[data-chosen]").textContent = variant.options[i];
      set.querySelectorAll("input").forEach((input) => (input.checked = input.value === variant.options[i]));
    });
    put("[data-price]", variant.price);
    put("[data-compare]", variant.compareAt || "");
    product.querySelector("[data-compare]").hidden = !variant.compareAt;
    product.querySelector("[data-sale]").hidden = !variant.compareAt;
    put("[data-sku]", variant.sku);
    put("[data-label]", variant.available ? "Add to cart" : "Sold out");
    put("[data-stock]", stockWords(variant));
    put("[data-problem]", "");
    product.querySelector('[type="submit"]').disabled = !variant.available;
    product.querySelector(".product-variant-id").value = variant.id;
    product.querySelector("#ProductPicture").src = variant.image;
    const address = new URL(window.location.href);
    address.searchParams.set("variant", variant.id);
    window.history.replaceState(window.history.state, "", address);
  }

  /** Strikes out the values that cannot be had together with what is chosen. */
  mark() {
    const chosen = this.chosen;
    this.querySelectorAll("fieldset").forEach((set, i) => {
      set.querySelectorAll("input").forEach((input) => {
        const variant = this.find(chosen.map((value, j) => (i === j ? input.value : value)));
        input.parentElement.classList.toggle("is-out", !variant?.available);
      });
    });
  }
}

function stockWords(variant) {
  if (!variant.available) return "Sold out in this version";
  return variant.stock <= 3 ? `Only ${variant.stock} left` : "In stock, leaves us within a day";
}

class QuantityInput extends HTMLElement {
  connectedCallback() {
    const input = this.querySelector("input");
    this.addEventListener("click", (event) => {
      const step = Number(event.target.dataset?.step || 0);
      if (step) input.value = Math.min(99, Math.max(1, (parseInt(input.value, 10) || 1) + step));
    });
    input.addEventListener("change", () => {
      input.value = Math.min(99, Math.max(1, parseInt(input.value, 10) || 1));
    });
  }
}

class NewsletterForm extends HTMLElement {
  connectedCallback() {
    const form = this.querySelector("form");
    const input = form.querySelector("input");
    const answer = form.querySelector('[role="status"]');
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const valid = input.checkValidity();
      input.setAttribute("aria-invalid", String(!valid));
      if (!valid) {
        answer.textContent = "Enter an e-mail address like name@shop.com.";
        input.focus();
        return;
      }
      window.klaviyo.identify({ email: input.value.trim() });
      answer.textContent = "Thank you. The next letter is yours.";
      form.reset();
    });
  }
}

customElements.define("variant-selects", VariantSelects);
customElements.define("quantity-input", QuantityInput);
customElements.define("newsletter-form", NewsletterForm);

document.querySelectorAll("[data-submit-on-change]").forEach((field) => {
  field.addEventListener("change", () => field.form.requestSubmit());
});

document.querySelectorAll("[data-menu-toggle]").forEach((button) => {
  button.addEventListener("click", () => {
    const open = document.documentElement.classList.toggle("is-menu-open");
    button.setAttribute("aria-expanded", String(open));
  });
});
