// What scrolls sideways can be reached and scrolled with the keyboard; what fits is no stop on the way.
const sized = new ResizeObserver(entries => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll("pre, .table-wrapper, .output").forEach(part => sized.observe(part));
