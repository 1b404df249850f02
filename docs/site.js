addEventListener("load", () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  // A table that is wider than the screen can be scrolled by the keyboard too.
  setTimeout(() => {
    for (const each of document.querySelectorAll(".md-typeset__scrollwrap"))
      if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
  });
});
