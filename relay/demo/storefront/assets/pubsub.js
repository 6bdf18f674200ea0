/* The theme's own little event bus: other scripts on the page subscribe to it. Names as Shopify's Dawn has them. */

const PUB_SUB_EVENTS = {
  cartUpdate: "cart-update",
  quantityUpdate: "quantity-update",
  optionValueSelectionChange: "option-value-selection-change",
  variantChange: "variant-change",
  cartError: "cart-error",
};

const subscribers = {};

function subscribe(eventName, callback) {
  subscribers[eventName] = [...(subscribers[eventName] || []), callback];
  return function unsubscribe() {
    subscribers[eventName] = subscribers[eventName].filter((each) => each !== callback);
  };
}

function publish(eventName, data) {
  return Promise.all((subscribers[eventName] || []).map((callback) => callback(data)));
}
