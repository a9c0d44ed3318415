"""Sample photos: small machine parts on a workbench, rendered, for a first training run on a machine without any."""
import numpy as np
from edgeretrain.samples.layout import draw_scene
from edgeretrain.samples.trace import Renderer
from edgeretrain.samples.camera import develop
CLASSES = ("bolts", "gears", "nuts", "springs", "washers")
def render_photo(class_name, index, seed=0, size=256):
    seeds = np.random.SeedSequence([seed, CLASSES.index(class_name), index]).spawn(3)
    a,b,c = (np.random.Generator(np.random.PCG64(s)) for s in seeds)
    scene = draw_scene(a, class_name)
    r = Renderer(scene, b, round(size * 1.3))
    focus = float(np.linalg.norm(scene.items[0].centre - scene.view.origin))
    return develop(c, r.image, r.depth, focus, scene.around, size)
