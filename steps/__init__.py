"""The machine learning: each step is a plain function over small frozen dataclasses.

Data flows one way, ``preprocess -> partition -> train -> evaluate -> quantize``. A step gets what
it needs as arguments and gives back what it made. It knows nothing of MLflow, reads no environment
variable and prints nothing.
"""
