"""The reference implementation's side of safetensors_python_test.c: reads our file, writes its own."""
import sys

if sys.argv[1] == "probe":
    import numpy  # noqa: F401
    import safetensors.numpy  # noqa: F401
    sys.exit(0)

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

if sys.argv[1] == "read":
    tensors = load_file(sys.argv[2])
    assert sorted(tensors) == ["flags", "layer.weight", "scale"], sorted(tensors)
    assert tensors["layer.weight"].dtype == np.float32
    assert tensors["layer.weight"].tolist() == [[0.5, -1.5, 2.0], [3.0, 4.0, 5.0]]
    assert tensors["flags"].dtype == np.uint8 and tensors["flags"].tolist() == [1, 2, 3]
    assert tensors["scale"].dtype == np.float64 and tensors["scale"].shape == ()
    assert tensors["scale"] == 0.1
    with safe_open(sys.argv[2], framework="np") as file:
        assert file.metadata() == {"round": "7", "who": "fedra \"é\""}, file.metadata()
elif sys.argv[1] == "write":
    save_file({"layer.weight": np.array([[0.5, -1.5, 2.0], [3.0, 4.0, 5.0]], np.float32),
               "flags": np.array([1, 2, 3], np.uint8),
               "scale": np.array(0.1, np.float64)}, sys.argv[2], metadata={"who": "python"})
else:
    sys.exit("what is " + sys.argv[1])
