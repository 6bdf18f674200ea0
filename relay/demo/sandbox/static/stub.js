(function () {
  if (window.klaviyo) return;
  window._klOnsite = window._klOnsite || [];
  var push = function () {
    return window._klOnsite.push.apply(window._klOnsite, arguments);
  };
  var later = function (name) {
    return function () {
      var args = Array.prototype.slice.call(arguments);
      var callback = typeof args[args.length - 1] === "function" ? args.pop() : null;
      return new Promise(function (resolve) {
        window._klOnsite.push([name].concat(args, [function (result) {
          if (callback) callback(result);
          resolve(result);
        }]));
      });
    };
  };
  try {
    window.klaviyo = new Proxy({}, {
      get: function (_target, name) {
        return name === "push" ? push : later(name);
      }
    });
  } catch (noProxy) {
    window.klaviyo = window.klaviyo || [];
    window.klaviyo.push = push;
  }
})();
