/* The demo panel stays open or closed from page to page, for one tab. */

(function () {
  const panel = document.querySelector("[data-panel]");
  const key = "demo-panel-open";
  try {
    panel.open = sessionStorage.getItem(key) === "1";
  } catch (blocked) {
    return;
  }
  panel.addEventListener("toggle", () => sessionStorage.setItem(key, panel.open ? "1" : "0"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && panel.open && panel.contains(document.activeElement)) {
      panel.open = false;
      panel.querySelector("summary").focus();
    }
  });
})();
