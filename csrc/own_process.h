// For data that a child of fork must not use of its parent: threads, which do not exist in the child, and locks that
// one of them may have held.
#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>

namespace sluice {

// A T that each process makes for itself. The child leaves the parent's T as it is and never destroys it, because
// waiting for its threads or locks would take forever.
template <class T>
class OwnProcess final {
 public:
  OwnProcess() = default;
  ~OwnProcess() {
    const Made* made = made_.load();
    if (made != nullptr && made->process == getpid()) delete made;
  }
  OwnProcess(const OwnProcess&) = delete;
  OwnProcess& operator=(const OwnProcess&) = delete;

  // The T of this process, made of these arguments where there is none yet.
  template <class... Arguments>
  T& get(const Arguments&... arguments) {
    const pid_t process = getpid();
    Made* made = made_.load();
    if (made != nullptr && made->process == process) return made->content;
    auto own = std::make_unique<Made>(process, arguments...);
    if (made_.compare_exchange_strong(made, own.get())) return own.release()->content;
    return made->content;  // another thread was first
  }

 private:
  struct Made {
    template <class... Arguments>
    explicit Made(pid_t process, const Arguments&... arguments) : process(process), content(arguments...) {}
    pid_t process;
    T content;
  };
  std::atomic<Made*> made_{nullptr};
};

}  // namespace sluice
