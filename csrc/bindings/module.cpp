// The only file that knows Python. The engine is built from plain lists, so that nothing here depends on the
// classes of the Python side.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
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
using Value = std::tuple<bool, std::vector<int>, int>;  // is gate, shape, gate
// name, kind, inputs, output, when, attributes, threshold, weight, bias
using Op = std::tuple<std::string, int, std::vector<int>, int, int, std::map<std::string, int>, float,
                      std::optional<Array>, std::optional<Array>>;

sluice::TensorSpec tensor_of(const std::optional<Array>& array) {
  sluice::TensorSpec tensor;
  if (!array.has_value()) return tensor;
  tensor.data = array->data();
  for (size_t axis = 0; axis < array->ndim(); ++axis)
    tensor.shape.push_back(static_cast<int64_t>(array->shape(axis)));
  return tensor;
}

sluice::ProgramSpec program_of(const std::vector<Value>& values, const std::vector<Op>& ops, int input, int output) {
  sluice::ProgramSpec program;
  for (const auto& [is_gate, shape, gate] : values) program.values.push_back({is_gate, shape, gate});
  for (const auto& [name, kind, inputs, out, when, attributes, threshold, weight, bias] : ops) {
    if (kind < 0 || kind >= sluice::kOpKinds) throw std::invalid_argument("op '" + name + "': is of an unknown kind");
    program.ops.push_back({name, static_cast<sluice::OpKind>(kind), inputs, out, when, attributes, threshold,
                           tensor_of(weight), tensor_of(bias)});
  }
  program.input = input;
  program.output = output;
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

nb::tuple run(sluice::Engine& engine, const Array& images, std::optional<float> threshold) {
  const size_t count = images.ndim() == 0 ? 0 : images.shape(0);
  if (images.ndim() == 0 || images.size() != count * static_cast<size_t>(engine.input_floats()))
    throw std::invalid_argument("images: the shape is not that of the program's input");
  std::vector<size_t> shape = {count};
  size_t floats = count;
  for (const int side : engine.output_shape()) {
    shape.push_back(static_cast<size_t>(side));
    floats *= static_cast<size_t>(side);
  }
  const size_t flags = flags_of(engine);
  auto output = std::make_unique<float[]>(floats);
  auto macs = std::make_unique<int64_t[]>(count), exits = std::make_unique<int64_t[]>(count);
  auto decisions = std::make_unique<uint8_t[]>(count * flags);
  {
    nb::gil_scoped_release unlocked;
    engine.run(images.data(), static_cast<int64_t>(count), threshold,
               {output.get(), macs.get(), exits.get(), decisions.get()});
  }
  return nb::make_tuple(array_of(std::move(output), shape), array_of(std::move(macs), {count}),
                        array_of(std::move(exits), {count}), array_of(std::move(decisions), {count, flags}));
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
             int output, int threads, bool all_candidates, bool winograd) {
            sluice::ProgramSpec program = program_of(values, ops, input, output);
            // Both read the environment, which only the GIL keeps others from changing.
            const sluice::Machine machine = {sluice::select_kernels(), sluice::l1_bytes()};
            nb::gil_scoped_release unlocked;
            new (self) sluice::Engine(std::move(program), machine, threads, sluice::Ways{all_candidates, winograd});
          },
          "values"_a, "ops"_a, "input"_a, "output"_a, "threads"_a, "all_candidates"_a = false, "winograd"_a = true)
      .def("run", &run, "images"_a, "threshold"_a.none())
      .def("profile", &profile, "image"_a, "repeats"_a, "forced"_a.none() = nb::none())
      .def("candidates", &sluice::Engine::candidates, "op"_a)
      .def("pick", &sluice::Engine::pick, "op"_a, "eighths"_a, "candidate"_a)
      .def_prop_ro("isa", &sluice::Engine::isa)
      .def_prop_ro("gates", &sluice::Engine::gates);
}
