// As much of jQuery as the platforms' own code uses of it: events that native listeners never hear, data(), find(), val().
(() => {
  const listeners = new Map();
  const camel = (text) => text.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
  window.jQuery = window.$ = (element) => {
    element = typeof element === "string" ? document.querySelector(element) : element;
    const self = {
      0: element, length: element ? 1 : 0,
      on(type, listener) { listeners.set(element, [...(listeners.get(element) || []), [type, listener]]); return self; },
      trigger(type, args = []) {
        for (const [name, listener] of listeners.get(element) || []) if (name === type) listener.call(element, {type, target: element}, ...[].concat(args));
        return self;
      },
      data: () => Object.fromEntries(Object.entries(element.dataset).map(([key, value]) => [camel(key), /^\d+$/.test(value) ? +value : value])),
      find: (selector) => window.jQuery(element.querySelector(selector)),
      val: () => element && element.value,
      addClass(name) { element.classList.add(name); return self; },
    };
    return self;
  };
})();
