(function () {
  "use strict";
  var root = document.documentElement;
  function kept(key, value) {
    try {
      if (value === undefined) { return window.localStorage.getItem(key); }
      window.localStorage.setItem(key, value);
    } catch (error) { /* storage may be switched off */ }
    return null;
  }

  var theme = document.getElementById("theme-toggle");
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : system.matches; }
  function nameTheme() { theme.textContent = isDark() ? "Light" : "Dark"; }
  if (kept("theme")) { root.dataset.theme = kept("theme"); }
  theme.hidden = false;
  nameTheme();
  system.addEventListener("change", nameTheme);
  theme.addEventListener("click", function () {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept("theme", root.dataset.theme);
    nameTheme();
  });

  var code = document.getElementById("code-toggle");
  var cells = document.querySelectorAll("details.code");
  code.hidden = cells.length === 0;
  code.addEventListener("click", function () {
    var show = code.getAttribute("aria-pressed") !== "true";
    cells.forEach(function (cell) { cell.open = show; });
    code.setAttribute("aria-pressed", String(show));
    code.textContent = show ? "Hide code" : "Show code";
  });

  var chapters = Array.prototype.slice.call(document.querySelectorAll("details.chapter"));
  var folding = document.getElementById("fold-toggle");
  folding.hidden = chapters.length === 0;
  folding.addEventListener("click", function () {
    var open = !chapters.some(function (part) { return part.open; });
    chapters.forEach(function (part) { part.open = open; });
    folding.textContent = open ? "Collapse all" : "Expand all";
  });
  function unfold(target) {  // what a link leads to may be inside folded parts
    for (var part = target && target.closest("details"); part; part = part.parentNode.closest("details")) {
      part.open = true;
    }
    if (target) { target.scrollIntoView(); }
  }
  window.addEventListener("hashchange", function () {
    unfold(document.getElementById(decodeURIComponent(location.hash.slice(1))));
  });

  var search = document.getElementById("search");
  var found = document.getElementById("found");
  var entries = null;
  function anchorOf(part) {  // the nearest id at or above an element, else one that it is given
    if (!part.id) { part.id = "s" + Math.random().toString(36).slice(2, 9); }
    return part.id;
  }
  function collect() {  // headings, claims, captions and paragraphs, in the order of the page
    var parts = document.querySelectorAll("main :is(h2, h3, h4, h5, .claim > summary .what, figcaption, caption, .prose p, .said, .prose li, tbody tr)");
    var heading = "";
    return Array.prototype.map.call(parts, function (part) {
      if (/^H[2-5]$/.test(part.tagName)) { heading = part.textContent; }
      var text = part.cells
        ? Array.prototype.map.call(part.cells, function (cell) { return cell.textContent; }).join(" · ")
        : part.textContent;
      return { part: part, text: text.replace(/\s+/g, " ").trim(), under: heading };
    });
  }
  search.hidden = false;
  search.addEventListener("input", function () {
    var wanted = search.value.trim().toLowerCase();
    found.textContent = "";
    found.hidden = wanted.length < 2;
    if (found.hidden) { return; }
    entries = entries || collect();
    var hits = entries.filter(function (entry) { return entry.text.toLowerCase().indexOf(wanted) >= 0; });
    hits.slice(0, 30).forEach(function (entry) {
      var place = Math.max(entry.text.toLowerCase().indexOf(wanted) - 40, 0);
      var link = document.createElement("a");
      link.href = "#" + anchorOf(entry.part);
      link.textContent = (place ? "… " : "") + entry.text.slice(place, place + 110);
      var under = document.createElement("small");
      under.textContent = entry.under;
      link.appendChild(under);
      link.addEventListener("click", function () { found.hidden = true; unfold(entry.part); });
      found.appendChild(document.createElement("li")).appendChild(link);
    });
    var line = document.createElement("span");
    line.textContent = hits.length > 30 ? "30 of " + hits.length + " places" : hits.length ? "" : "Nothing found";
    if (line.textContent) { found.appendChild(document.createElement("li")).appendChild(line); }
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") { found.hidden = true; }
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) { event.preventDefault(); search.focus(); }
  });
  document.addEventListener("click", function (event) {
    if (!event.target.closest(".search")) { found.hidden = true; }
  });

  var contents = document.querySelector(".toc details");
  var wide = window.matchMedia("(min-width: 1100px)");
  function fold() { contents.open = wide.matches; }
  wide.addEventListener("change", fold);
  fold();

  function reach() {  // figures that scroll on a narrow screen are reached by keyboard, too
    document.querySelectorAll("figure .paper").forEach(function (box) {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", "Figure, scrolls sideways");
      } else {
        ["tabindex", "role", "aria-label"].forEach(function (name) { box.removeAttribute(name); });
      }
    });
  }
  window.addEventListener("resize", reach);
  window.addEventListener("load", reach);
  document.addEventListener("toggle", reach, true);  // a figure in what was folded

  var printed = [];  // a printed page cannot be unfolded, so everything but code and parameters is opened
  window.addEventListener("beforeprint", function () {
    printed = Array.prototype.slice.call(document.querySelectorAll("details:not(.code, .params, [open])"));
    printed.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () {
    printed.forEach(function (part) { part.open = false; });
    printed = [];
  });

  function number(text) { return parseFloat(text.replace(/\u2212/g, "-").replace(/,/g, "")); }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    var heads = Array.prototype.slice.call(table.tHead ? table.tHead.rows[0].cells : []);
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) { button.appendChild(head.firstChild); }
      head.appendChild(button);
      button.addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        var body = table.tBodies[0];
        var numeric = head.classList.contains("number");
        Array.prototype.slice.call(body.rows).map(function (row, place) {
          return { row: row, place: place, text: row.cells[column].textContent };
        }).sort(function (a, b) {
          var order = numeric ? number(a.text) - number(b.text) : a.text.localeCompare(b.text);
          if (numeric && isNaN(order)) { return isNaN(number(a.text)) - isNaN(number(b.text)); }
          return (up ? order : -order) || a.place - b.place;
        }).forEach(function (item) { body.appendChild(item.row); });
      });
    });
  });

  if ("IntersectionObserver" in window) {  // the table of contents shows where the reader is, and unfolds there
    var links = {};
    document.querySelectorAll(".toc a").forEach(function (link) { links[link.hash.slice(1)] = link; });
    var here = [];
    var show = function (link) {
      here.forEach(function (item) { item.classList.remove("here"); });
      here = [];
      Object.keys(links).forEach(function (id) { links[id].removeAttribute("aria-current"); });
      link.setAttribute("aria-current", "true");
      for (var item = link.closest("li"); item; item = item.parentNode.closest("li")) {
        item.classList.add("here");
        here.push(item);
      }
    };
    var watcher = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (entry.isIntersecting) { show(links[entry.target.id]); }
      });
    }, { rootMargin: "-5% 0px -80% 0px" });
    Object.keys(links).forEach(function (id) {
      var target = document.getElementById(id);
      if (target) { watcher.observe(target); }
    });
    document.querySelector(".toc").classList.add("folding");
  }
})();
