// A fixed number of threads, the caller among them, that share the chunks of one job at a time.
//
// Within a run the workers spin between jobs, because a job takes some hundred microseconds and waking a thread takes
// ten. Soon after a run they are parked and cost nothing. Threads take chunks one by one, and a job is done when all
// its chunks are done. So a worker whose core is taken away before it takes a chunk does not delay the others. The
// caller takes chunks from the front and workers from the back. So a thread mostly reads in the next job the rows that
// it has written itself, from its own cache.
//
// A child of fork has a copy of the pool, but not its workers. It starts its own at first use.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "own_process.h"

namespace sluice {

class ThreadPool final {
 public:
  explicit ThreadPool(int threads) : threads_(threads) { crew_ = &crews_.get(threads_); }

  int threads() const { return threads_; }

  // Wakes the workers for the life of this object; one at a time.
  class Awake final {
   public:
    explicit Awake(ThreadPool& pool);
    ~Awake();
    Awake(const Awake&) = delete;
    Awake& operator=(const Awake&) = delete;

   private:
    ThreadPool& pool_;
  };

  // Runs work(chunk, thread) for each chunk in [0, chunks); returns when all are done. Needs an Awake, and work that
  // does not throw: memory is taken before.
  template <class Work>
  void run(int chunks, const Work& work) {
    if (chunks <= 1 || chunks > kMostChunks || threads_ == 1) {
      for (int chunk = 0; chunk < chunks; ++chunk) work(chunk, 0);
      return;
    }
    crew_->start(
        [](const void* context, int chunk, int thread) { (*static_cast<const Work*>(context))(chunk, thread); },
        &work, chunks);
  }

 private:
  using Function = void (*)(const void* context, int chunk, int thread);
  static constexpr int kChunkBits = 18, kMostChunks = (1 << kChunkBits) - 1;

  // The workers, and what they share with the caller.
  class Crew final {
   public:
    explicit Crew(int threads);
    ~Crew();
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    void wake();
    void let_sleep();
    void start(Function function, const void* context, int chunks);

   private:
    void stop();                  // the workers, and joins them
    bool take_chunk(int thread);  // false where none is left
    void work(int thread);

    // The job; and in one word its number and the chunks [begin, end) that are not taken yet. A thread that takes a
    // chunk by exchanging the word knows that the function and context that it read before belong to that job, because
    // they change only when no chunk is left. Data that several threads write often has its own cache line.
    std::atomic<Function> function_{nullptr};
    std::atomic<const void*> context_{nullptr};
    alignas(64) std::atomic<uint64_t> ticket_{0};  // job << 2 * kChunkBits | begin << kChunkBits | end
    alignas(64) std::atomic<int> done_{0};         // chunks

    std::atomic<bool> awake_{false};
    bool stop_ = false;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> workers_;
  };

  int threads_;
  OwnProcess<Crew> crews_;
  Crew* crew_;  // that of this process, as the last Awake found it
};

}  // namespace sluice
