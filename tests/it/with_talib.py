"""What TA-Lib makes of bars. Reads JSON lines of cases from standard input, the bars from a CSV file
(open, high, low, close, volume) named by its argument; writes one line for each case: its outputs by
name, null where there is none."""

import csv
import json
import math
import sys

import numpy
import talib
import talib.abstract

WHOLE = ("integer", "integerindex")


def columns(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    found = {name: numpy.array([float(row[name]) for row in rows]) for name in rows[0]}
    found["periods"] = numpy.array([2.0 + i % 29 for i in range(len(rows))])
    return found


def main():
    inputs = columns(sys.argv[1])
    for line in sys.stdin:
        case = json.loads(line)
        function = talib.abstract.Function(case["name"])
        # What is whole in TA-Lib must come as an int.
        defaults = function.parameters
        parameters = {
            name: type(defaults[name])(value) for name, value in case["parameters"].items()
        }
        if parameters:
            function.parameters = parameters
        out = function(inputs)
        names = function.output_names
        out = [out] if len(names) == 1 else out
        whole = all(numpy.issubdtype(values.dtype, numpy.integer) for values in out)
        outputs = [
            [v if math.isfinite(v) else None for v in values.astype(float).tolist()] for values in out
        ]
        told = {
            "name": case["name"],
            "version": talib.__ta_version__.decode().split()[0],
            "lookback": function.lookback,
            "whole": whole,
            "outputs": outputs,
        }
        print(json.dumps(told))


main()
