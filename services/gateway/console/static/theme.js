// Before the first paint: the colours chosen last time, else the system's.
try {
  const chosen = localStorage.getItem("parley-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is off: the system's colours will do.
}
