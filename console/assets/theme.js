// Before the first paint: the theme that this browser was told to use.
(() => {
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* storage is off: follow the system */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  document.documentElement.classList.add("js");
})();
