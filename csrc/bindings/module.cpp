// The only file that knows Python. The engine is built from plain lists, so that nothing here depends on the
// classes of the Python side.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>

#include "../engine.h"
#include "../kernels/cpu_features.h"
#include "../kernels/dispatch.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Array = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Flags = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;
using Run = std::tuple<int, int, int, int>;  // gate or -1, first flag, channels, channels per flag
using Value = std::tuple<bool, std::vector<int>, std::vector<Run>>;  // is gate, shape, channel map
// name, kind, inputs, output, when, unless, attributes, weight, bias
using Op = std::tuple<std::string, std::string, std::vector<int>, int, std::vector<int>, std::vector<int>, nb::dict,
                      std::optional<Array>, std::optional<Array>>;

sluice::TensorSpec tensor_of(const std::optional<Array>& array) {
  sluice::TensorSpec tensor;
  if (!array.has_value()) return tensor;
  tensor.data = array->data();
  for (size_t axis = 0; axis < array->ndim(); ++axis)
    tensor.shape.push_back(static_cast<int64_t>(array->shape(axis)));
  return tensor;
}

// By hand, since a number of NumPy's would be taken for whichever type comes first.
sluice::Attribute attribute_of(nb::handle content) {
  if (PyUnicode_Check(content.ptr())) return nb::cast<std::string>(content);
  if (PyFloat_Check(content.ptr())) return PyFloat_AsDouble(content.ptr());
  int overflow = 0;
  const long long number = PyLong_Check(content.ptr()) ? PyLong_AsLongLongAndOverflow(content.ptr(), &overflow) : 0;
  if (!PyLong_Check(content.ptr()) || overflow != 0)
    throw std::invalid_argument("attributes: one is neither a number of 64 bits nor a text");
  return int64_t{number};
}

sluice::ValueSpec value_of(const Value& value) {
  sluice::ValueSpec spec;
  spec.is_gate = std::get<0>(value);
  spec.shape = std::get<1>(value);
  for (const auto& [gate, first, count, repeat] : std::get<2>(value))
    spec.runs.push_back({gate, first, count, repeat});
  return spec;
}

sluice::OpSpec op_of(const Op& op) {
  const auto& [name, kind, inputs, output, when, unless, attributes, weight, bias] = op;
  sluice::OpSpec spec;
  spec.name = name;
  spec.room = &sluice::room_of(kind, name);
  spec.inputs = inputs;
  spec.output = output;
  spec.when = when;
  spec.unless = unless;
  for (const auto& [key, content] : attributes) spec.attributes[nb::cast<std::string>(key)] = attribute_of(content);
  spec.weight = tensor_of(weight);
  spec.bias = tensor_of(bias);
  return spec;
}

sluice::ProgramSpec program_of(const std::vector<Value>& values, const std::vector<Op>& ops, int input,
                               const std::vector<int>& outputs) {
  sluice::ProgramSpec program;
  for (const Value& value : values) program.values.push_back(value_of(value));
  for (const Op& op : ops) program.ops.push_back(op_of(op));
  program.input = input;
  program.outputs = outputs;
  return program;
}

template <class T>
nb::object array_of(std::unique_ptr<T[]> data, std::vector<size_t> shape) {
  T* pointer = data.release();
  nb::capsule owner(pointer, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(pointer, shape.size(), shape.data(), owner));
}

size_t flags_of(const sluice::Engine& engine) {
  size_t flags = 0;
  for (const auto& gate : engine.gates()) flags += static_cast<size_t>(gate.second);
  return flags;
}

// An array [count, ...] as an output of the program.
struct Output {
  std::unique_ptr<float[]> data;
  std::vector<size_t> shape;

  Output(size_t count, const sluice::Shape& sample) : shape{count} {
    size_t floats = count;
    for (const int side : sample) {
      shape.push_back(static_cast<size_t>(side));
      floats *= static_cast<size_t>(side);
    }
    data = std::make_unique<float[]>(floats);
  }
};

nb::tuple run(sluice::Engine& engine, const Array& images, std::optional<float> threshold) {
  const size_t count = images.ndim() == 0 ? 0 : images.shape(0);
  if (images.ndim() == 0 || images.size() != count * static_cast<size_t>(engine.input_floats()))
    throw std::invalid_argument("images: the shape is not that of the program's input");
  const size_t flags = flags_of(engine);
  auto macs = std::make_unique<int64_t[]>(count), exits = std::make_unique<int64_t[]>(count);
  auto decisions = std::make_unique<uint8_t[]>(count * flags);
  sluice::Results results = {{}, macs.get(), exits.get(), decisions.get()};
  std::vector<Output> outputs;
  for (const sluice::Shape& shape : engine.output_shapes()) {
    outputs.emplace_back(count, shape);
    results.outputs.push_back(outputs.back().data.get());
  }
  {
    nb::gil_scoped_release unlocked;
    engine.run(images.data(), static_cast<int64_t>(count), threshold, results);
  }
  nb::list arrays;
  for (Output& output : outputs) arrays.append(array_of(std::move(output.data), output.shape));
  return nb::make_tuple(arrays, array_of(std::move(macs), {count}), array_of(std::move(exits), {count}),
                        array_of(std::move(decisions), {count, flags}));
}

std::vector<std::pair<double, int64_t>> profile(sluice::Engine& engine, const Array& image, int repeats,
                                                const std::optional<Flags>& forced) {
  if (image.size() != static_cast<size_t>(engine.input_floats()))
    throw std::invalid_argument("image: the shape is not that of the program's input");
  if (forced.has_value() && forced->size() != flags_of(engine))
    throw std::invalid_argument("forced: there are not as many flags as gates have");
  nb::gil_scoped_release unlocked;
  std::vector<std::pair<double, int64_t>> costs;
  for (const sluice::Engine::Cost& cost : engine.profile(image.data(), repeats, forced ? forced->data() : nullptr))
    costs.emplace_back(cost.seconds, cost.macs);
  return costs;
}

}  // namespace

NB_MODULE(_engine, module) {
  module.doc() = "The native engine of sluicegate_runtime; see session.py.";
  module.def(
      "isas",
      [] {
        std::vector<std::string> names;
        for (const sluice::KernelTable* kernels : sluice::available_kernels()) names.emplace_back(kernels->name);
        return names;
      },
      "The instruction sets that this build holds and this machine runs, best first.");
  nb::class_<sluice::Engine>(module, "Engine")
      .def(
          "__init__",
          [](sluice::Engine* self, const std::vector<Value>& values, const std::vector<Op>& ops, int input,
             const std::vector<int>& outputs, int threads, bool all_candidates, bool winograd) {
            sluice::ProgramSpec program = program_of(values, ops, input, outputs);
            // Both read the environment, which only the GIL keeps others from changing.
            const sluice::Machine machine = {sluice::select_kernels(), sluice::l1_bytes()};
            nb::gil_scoped_release unlocked;
            new (self) sluice::Engine(std::move(program), machine, threads, sluice::Ways{all_candidates, winograd});
          },
          "values"_a, "ops"_a, "input"_a, "outputs"_a, "threads"_a, "all_candidates"_a = false, "winograd"_a = true)
      .def("run", &run, "images"_a, "threshold"_a.none())
      .def("profile", &profile, "image"_a, "repeats"_a, "forced"_a.none() = nb::none())
      .def("candidates", &sluice::Engine::candidates, "op"_a)
      .def("pick", &sluice::Engine::pick, "op"_a, "eighths"_a, "candidate"_a)
      .def_prop_ro("isa", &sluice::Engine::isa)
      .def_prop_ro("gates", &sluice::Engine::gates);
}
