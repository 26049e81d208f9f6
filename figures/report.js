// Hides the claims that the filters leave out, and says how many are shown.
const selects = document.querySelectorAll("select[data-filter]");
const rows = document.querySelectorAll("#ledger tbody tr");

function apply() {
  let shown = 0;
  for (const row of rows) {
    const fits = [...selects].every((s) => !s.value || row.dataset[s.dataset.filter] === s.value);
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("shown").textContent = `${shown} of ${rows.length} claims`;
}

for (const select of selects) select.addEventListener("change", apply);
apply();

// On a narrow screen the contents start folded; on a wide one there is nothing to unfold them with.
const narrow = matchMedia("(max-width: 64rem)");
const fold = () => { document.querySelector("nav details").open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();
