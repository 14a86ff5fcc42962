// The records of POOL's averages: record r is lane r mod Block of parameter word base + r div Block.
// Does: give multiplier and shift for two pixels at once, from a small cache per pixel; read what is
// missing while need_i is high.
// Does not: use a record's bias; keep records from one packet to the next (clear_i forgets them).
// Latency: nothing when held, else 3 cycles per record. Parameter memory handshake: valid and addr hold
// until grant, the word comes in the cycle after.
`default_nettype none
module vla_vector_records #(
  parameter Block     = 16,  // records of a parameter word
  parameter ParamAw   = 11,  // address bits of the parameter memory
  parameter ParamBits = 1024
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  input  wire                 clear_i,
  input  wire [ParamAw-1:0]   base_i,
  // the records wanted
  input  wire                 need_i,
  input  wire [43:0]          index_i,    // pixel 1's above pixel 0's
  output wire                 hit_o,      // both are there
  output wire [47:0]          mult_o,
  output wire [11:0]          shift_o,
  // parameter memory
  output wire                 param_rd_valid_o,
  output wire [ParamAw-1:0]   param_rd_addr_o,
  input  wire                 param_rd_grant_i,
  input  wire [ParamBits-1:0] param_rd_data_i
);

  localparam LaneBits = $clog2(Block);

  wire [1:0]  hit;
  reg         arrive_q;  // the granted word is on param_rd_data_i
  reg         pixel_q;   // whose record that is
  reg         fill_q;
  reg  [29:0] record_q;  // shift and mult: bits 61:32 of a record's 8 bytes
  reg  [LaneBits-1:0] lane_q;

  wire        pixel  = hit[0];  // pixel 0 first
  wire [21:0] wanted = pixel ? index_i[43:22] : index_i[21:0];
  wire [30:0] word   = {9'd0, wanted >> LaneBits};
  wire        granted = param_rd_valid_o && param_rd_grant_i;

  assign hit_o            = &hit;
  assign param_rd_valid_o = need_i && !hit_o && !arrive_q && !fill_q;
  assign param_rd_addr_o  = base_i + word[ParamAw-1:0];

  wire [30-ParamAw:0] word_unused = word[30:ParamAw];  // addresses wrap

  always @(posedge clk_i) begin
    if (rst_i) begin
      arrive_q <= 1'b0;
      fill_q   <= 1'b0;
    end else begin
      arrive_q <= granted;
      fill_q   <= arrive_q;
    end
  end

  always @(posedge clk_i) begin
    if (granted) begin
      pixel_q <= pixel;
      lane_q  <= wanted[LaneBits-1:0];
    end
    if (arrive_q) record_q <= param_rd_data_i[{lane_q, 6'd32} +: 30];
  end

  genvar i;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_cache
      vla_vector_record_cache u_cache (
        .clk_i(clk_i), .rst_i(rst_i), .clear_i(clear_i),
        .index_i(index_i[22*i +: 22]), .hit_o(hit[i]),
        .mult_o(mult_o[24*i +: 24]), .shift_o(shift_o[6*i +: 6]),
        .fill_i(fill_q && pixel_q == i), .fill_mult_i(record_q[23:0]), .fill_shift_i(record_q[29:24])
      );
    end
  endgenerate

endmodule
`default_nettype wire
