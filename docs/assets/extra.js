// The theme gives its search no name, and wide tables no way for keyboards to scroll them.
document.addEventListener("DOMContentLoaded", function () {
  document.querySelectorAll(".md-search[role=dialog]").forEach(function (search) {
    search.setAttribute("aria-label", "Search");
  });
});
window.addEventListener("load", function () {
  document.querySelectorAll(".md-typeset__scrollwrap").forEach(function (table) {
    table.setAttribute("tabindex", "0");
  });
});
