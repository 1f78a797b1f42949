/** Answers what the benchmark asks this process of its own, each kind of message by its function. The counterpart of `startReaders`. */
export function answerParent(answers) {
  process.on('message', ({ id, type, ...message }) => {
    answers[type](message).then(
      (answer) => process.send({ id, ...answer }),
      (error) => process.send({ id, error: String(error) }),
    )
  })
}
