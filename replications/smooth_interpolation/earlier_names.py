"""What metrics of Gamba et al.'s records were called once, and one that was a constant times another."""

EARLIER_NAMES = {
    "test_accuracy_perturbed": {"metric": "accuracy", "subset": "test_perturbed"},
    "test_accuracy_unperturbed": {"metric": "accuracy", "subset": "test_unperturbed"},
    "tangent_hessian_norm_paper": None,
}
