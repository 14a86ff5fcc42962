// A read lane of the activation memory and who uses it: addresses in, words out in the same order.
// Does: hold the next addresses in registers, request them one by one, keep up to Depth words until they are taken,
// so that lanes may run ahead of each other when banks conflict.
// Does not: know whose word it is.
// Latency: address to word 5 cycles when granted at once; one word per cycle. Handshake: addresses and words are
// ready/valid, all from registers; rd_* as in vla_act_memory.
`default_nettype none
module vla_read_lane #(
  parameter Aw       = 17,  // address bits of the activation memory
  parameter WordBits = 128, // bits of a word
  parameter Depth    = 16   // words asked for and not taken, a power of two
) (
  input  wire                clk_i,
  input  wire                rst_i,
  // addresses
  input  wire                addr_valid_i,
  output wire                addr_ready_o,
  input  wire [Aw-1:0]       addr_i,
  // memory
  output wire                rd_valid_o,
  output wire [Aw-1:0]       rd_addr_o,
  input  wire                rd_grant_i,
  input  wire                rd_word_i,
  input  wire [WordBits-1:0] rd_data_i,
  // words
  output wire                word_valid_o,
  input  wire                word_ready_i,
  output wire [WordBits-1:0] word_o
);

  localparam Cw = $clog2(Depth) + 1;

  reg [Cw-1:0] used_q;  // words granted and not yet taken
  wire         head_valid;
  wire         room    = !used_q[Cw-1];
  wire         granted = rd_valid_o && rd_grant_i;
  wire         taken   = word_valid_o && word_ready_i;

  assign rd_valid_o = head_valid && room;

  vla_slice #(.Width(Aw)) u_addresses (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(addr_valid_i), .in_ready_o(addr_ready_o), .in_data_i(addr_i),
    .out_valid_o(head_valid), .out_ready_i(granted), .out_data_o(rd_addr_o)
  );

  wire room_unused;  // `used_q` keeps the queue from overflowing
  vla_fifo #(.Width(WordBits), .Depth(Depth)) u_words (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(rd_word_i), .in_ready_o(room_unused), .in_data_i(rd_data_i),
    .out_valid_o(word_valid_o), .out_ready_i(word_ready_i), .out_data_o(word_o)
  );

  always @(posedge clk_i) begin
    if (rst_i) used_q <= {Cw{1'b0}};
    else if (granted && !taken) used_q <= used_q + 1'b1;
    else if (!granted && taken) used_q <= used_q - 1'b1;
  end

endmodule
`default_nettype wire
