"""How the dashboard shows the plugin's kind."""

from app.kinds import View, views


@views.register("bell")
class BellView(View):
    """A mean and what lies around it."""

    def values(self, prediction):
        mean, spread = prediction.tolist()
        return {"rows": [["bell", f"{mean:.2f} ± {2.718281828 ** (spread / 2):.2f}"]]}

    def target_values(self, target):
        return {"rows": [["bell", f"exactly {float(target):.2f}"]]}
